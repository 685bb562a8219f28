"""Segments of a text: GSM-7 160/153, UCS-2 70/67."""

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from rater.segments import count_segments
from tests import oracle
from tests.rater.make import modest

BODIES = [
    # body                                            | segments
    ("",                                                1),
    ("a",                                               1),
    # GSM-7: 160 alone, 153 joined
    ("a" * 160,                                         1),
    ("a" * 161,                                         2),
    ("a" * 306,                                         2),
    ("a" * 307,                                         3),
    ("a" * 459,                                         3),
    ("a" * 460,                                         4),
    ("à" * 160,                                         1),
    ("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" * 5 + "ÄÖÑÜ§", 1),  # 5 x 31 + 5
    ("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" * 5 + "ÄÖÑÜ§¿", 2),
    # the extension table: two septets each
    ("€" * 80,                                          1),
    ("€" * 81,                                          2),
    ("^{}[]~|\\€\f" * 8,                                1),  # 80 of them: 160 septets
    ("^{}[]~|\\€\f" * 8 + "a",                          2),
    ("a" * 158 + "€",                                   1),
    ("a" * 159 + "€",                                   2),
    ("a" * 152 + "€" + "a" * 151,                       2),  # the pair moves whole: 152, 2 + 151
    ("a" * 152 + "€" + "a" * 152,                       3),  # 306 septets would fit if split
    ("€" * 152,                                         2),  # 76 a segment, the 153rd stays empty
    ("€" * 153,                                         3),
    # one character outside turns all to UCS-2: 70 alone, 67 joined
    ("ç",                                               1),
    ("a" * 69 + "ç",                                    1),
    ("a" * 70 + "ç",                                    2),
    ("ж" * 70,                                          1),
    ("ж" * 71,                                          2),
    ("ж" * 134,                                         2),
    ("ж" * 135,                                         3),
    ("a" * 160 + "’",                                   3),  # 161 units of UCS-2: 67, 67, 27
    ("€" * 69 + "ж",                                    1),  # one unit each, once it is UCS-2
    # surrogates: two code units, never split
    ("😀" * 35,                                         1),
    ("😀" * 36,                                         2),
    ("😀" * 66,                                         2),  # 33 a segment, the 67th stays empty
    ("😀" * 67,                                         3),
    ("ж" * 66 + "😀" + "ж" * 65,                        2),
    ("ж" * 66 + "😀" + "ж" * 66,                        3),
]  # fmt: skip


@pytest.mark.parametrize(("body", "segments"), BODIES)
def test_a_body_needs_so_many_segments(body: str, segments: int) -> None:
    assert count_segments(body) == segments


@modest
@given(st.text(alphabet="ab à€^{\\жç😀\n", min_size=50, max_size=500))
def test_segments_are_those_of_the_oracle(body: str) -> None:
    assert count_segments(body) == oracle.segments_of_body(body)


@modest
@given(st.text(alphabet="a€ж😀", max_size=300), st.sampled_from("a€ж😀"))
def test_a_longer_body_never_needs_fewer_segments(body: str, more: str) -> None:
    assert count_segments(body + more) >= count_segments(body)


@pytest.mark.parametrize(("body", "_"), BODIES)
def test_a_body_is_counted_as_smsutil_counts_it(body: str, _: int) -> None:
    assert count_segments(body) == max(1, len(smsutil.split(body).parts))
