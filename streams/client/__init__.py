"""A thin client of the API: an account's statements, charges, explanations and files."""

from streams.client.client import Client, ProblemError

__all__ = ["Client", "ProblemError"]
