"""The rules: what an event costs, as pure functions of (event, tariff book).

This package does no I/O, reads no clock and knows nothing of `streams`.
"""

__version__ = "0.1.0"
