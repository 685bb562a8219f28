"""Words that people mistype: which known one is meant."""

from collections.abc import Iterable
from difflib import get_close_matches

from rater.kinds import KINDS
from rater.unknown_fields import NO_WORD

ALIKE = 0.75  # of two words' letters, from 0 to 1


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean carrier?" where a known word is like this one, else nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=ALIKE)
    return f"; did you mean {near[0]}?" if near else ""


def unknown_field(kind: str, name: str) -> str:
    """What is said of a field that a kind does not have.

    "carier of text events is unknown and ignored; did you mean carrier?"
    """
    if name == NO_WORD:
        return f"a field of {kind} events that has no name of letters is unknown and ignored"
    said = f"{name} of {kind} events is unknown and ignored"
    return said + did_you_mean(name, KINDS[kind].names)
