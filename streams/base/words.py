"""Words that people mistype: which known one is meant."""

from collections.abc import Iterable
from difflib import get_close_matches

ALIKE = 0.75  # of two words' letters, from 0 to 1


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean carrier?" where a known word is like this one, else nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=ALIKE)
    return f"; did you mean {near[0]}?" if near else ""
