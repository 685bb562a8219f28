"""Instants: from RFC 3339 text to microseconds since the Unix epoch, one by one and by column.

`2026-02-03T00:00:30.5+02:00`: a date, `T` (or `t`, or a space), a time with seconds, decimals where
there are some, and `Z` (or `z`) or an offset. Decimals beyond the sixth are dropped and never
rounded, and a leap second (`:60`) is the next second. Source: docs/rules.md, Corrections.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Instants = npt.NDArray[np.int64]  # microseconds since the epoch
NEVER = np.iinfo(np.int64).min  # in place of an instant that an event does not have

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):?(\d\d))", re.ASCII
)


def in_utc(instant: datetime) -> datetime:
    """The same; one that says no zone is of UTC."""
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def to_us(time: datetime) -> int:
    """Microseconds since the Unix epoch, exact (a float of seconds is not)."""
    return (time - EPOCH) // _MICROSECOND


class Instant(datetime):
    """An instant of an event, with its offset."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """The instant that a text of RFC 3339 names. Raises ValueError where it is none."""
        if not isinstance(text, str):
            raise ValueError(f"Expected an instant as RFC 3339 text, got `{type(text).__name__}`")
        found = _RFC_3339.fullmatch(text)
        if found is None:
            raise ValueError("Invalid RFC 3339 instant: write 2026-01-16T00:00:00Z")
        day, clock, seconds, decimals, _, sign, hours, minutes = found.groups()
        if sign and (int(hours) > 23 or int(minutes) > 59):
            raise ValueError("Invalid RFC 3339 instant: its offset is none")
        leap = seconds == "60"
        offset = f"{sign}{hours}:{minutes}" if sign else "+00:00"
        second = "59" if leap else seconds
        micros = (decimals or "")[:6].ljust(6, "0")
        try:
            parsed = cls.fromisoformat(f"{day}T{clock}{second}.{micros}{offset}")
            return parsed + timedelta(seconds=1) if leap else parsed
        except (ValueError, OverflowError) as error:
            raise ValueError("Invalid RFC 3339 instant: there is no such time") from error

    def text(self) -> str:
        """RFC 3339, with `Z` for UTC."""
        return self.isoformat().replace("+00:00", "Z")


# By column: the bytes of all texts at once. What isn't sure to be an instant is left to `parse`.

_HEAD = len("2026-02-03T00:00:30")
_TENS = np.array([0, 2, 5, 8, 11, 14, 17])
_ONES = _TENS + 1
_MOST_DECIMALS = 9
_DAYS_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int32)
_DAYS_IN = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int32)
_SECOND_US = 1_000_000
_DAY_S = 86_400
_DAYS_TO_1970 = 719_162  # from 0001-01-01


def parse_instants(texts: pa.StringArray) -> tuple[Instants, npt.NDArray[np.bool_]]:
    """The instant of each text, NEVER for a null; and whether it is sure to be one.

    Sure is less than `Instant.parse` takes: at most nine decimals, no leap second, and an offset
    with its colon.
    """
    at_us = np.full(len(texts), NEVER)
    is_sure = np.ones(len(texts), np.bool_)
    rows = np.arange(len(texts))
    if texts.null_count:
        rows = np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False))
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset :][: len(texts) + 1]
    starts, lengths = ends[rows].astype(np.int64), np.diff(ends)[rows]
    short = lengths <= _HEAD
    is_sure[rows[short]] = False
    rows, starts, lengths = rows[~short], starts[~short], lengths[~short].astype(np.int64)
    if not len(rows):
        return at_us, is_sure
    raw = np.frombuffer(data, np.uint8)
    parsed, sure = _parse(raw, starts, starts + lengths)
    at_us[rows] = np.where(sure, parsed, NEVER)
    is_sure[rows] = sure
    return at_us, is_sure


def _parse(
    raw: npt.NDArray[np.uint8], starts: Instants, ends: Instants
) -> tuple[Instants, npt.NDArray[np.bool_]]:
    head = raw[starts + np.arange(_HEAD)[:, None]]
    sure = (head[4] == ord("-")) & (head[7] == ord("-"))
    sure &= (head[13] == ord(":")) & (head[16] == ord(":"))
    sure &= (head[10] | 0x20 == ord("t")) | (head[10] == ord(" "))
    digits = head - np.uint8(ord("0"))  # what is no digit is above 9
    tens, ones = digits[_TENS], digits[_ONES]
    sure &= (np.maximum(tens, ones) <= 9).all(axis=0)
    century, year, month, day, hour, minute, second = (tens * np.uint8(10) + ones).astype(np.int32)
    year += century * 100
    sure &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    sure &= (hour <= 23) & (minute <= 59) & (second <= 59)
    month = np.where(sure, month, 1)
    is_leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    sure &= day <= _DAYS_IN[month - 1] - ((month == 2) & ~is_leap)
    before = year - 1
    fourths = before >> 2
    days = before * 365 + fourths - fourths // 25 + (fourths // 25 >> 2) - _DAYS_TO_1970
    days += _DAYS_BEFORE[month - 1] + (is_leap & (month > 2)) + day - 1
    at_s = days.astype(np.int64) * _DAY_S + (hour * 3600 + minute * 60 + second)

    last = raw[ends - 1]
    is_utc = last | 0x20 == ord("z")
    ends = ends - 1
    if not is_utc.all():
        zones, well = _offsets(raw, starts, ends + 1, ~is_utc)
        sure &= is_utc | well
        at_s = at_s - zones
        ends = np.where(is_utc, ends, ends - len("+02:0"))
    micros, well = _decimals(raw, starts + _HEAD, ends)
    return at_s * _SECOND_US + micros, sure & well


def _offsets(
    raw: npt.NDArray[np.uint8], starts: Instants, ends: Instants, some: npt.NDArray[np.bool_]
) -> tuple[Instants, npt.NDArray[np.bool_]]:
    """The seconds of offsets such as +02:00, of those that have one."""
    begin = np.where(some & (ends - starts >= _HEAD + 6), ends - 6, starts)
    tail = raw[begin + np.arange(6)[:, None]]
    sign = np.where(tail[0] == ord("-"), -1, 1)
    digits = (tail - np.uint8(ord("0"))).astype(np.int64)
    hours, minutes = digits[1] * 10 + digits[2], digits[4] * 10 + digits[5]
    well = ((tail[0] == ord("+")) | (tail[0] == ord("-"))) & (tail[3] == ord(":"))
    well &= (digits[[1, 2, 4, 5]] <= 9).all(axis=0) & (hours <= 23) & (minutes <= 59)
    well &= ends - starts >= _HEAD + 6
    return np.where(some & well, sign * (hours * 3600 + minutes * 60), 0), well


def _decimals(
    raw: npt.NDArray[np.uint8], begins: Instants, ends: Instants
) -> tuple[Instants, npt.NDArray[np.bool_]]:
    """The microseconds of decimals from a point up to `ends`; what is beyond the sixth is none."""
    micros = np.zeros(len(begins), np.int64)
    counts = ends - begins - 1  # -1 where there are none
    well = (counts == -1) | ((counts >= 1) & (counts <= _MOST_DECIMALS))
    some = np.flatnonzero(well & (counts > 0))
    if not len(some):
        return micros, well
    begins, counts = begins[some], counts[some]
    good = raw[begins] == ord(".")
    made = np.zeros(len(some), np.int64)
    for place in range(int(counts.max())):
        there = counts > place
        digit = raw[begins + 1 + np.where(there, place, 0)] - np.uint8(ord("0"))
        good &= ~there | (digit <= 9)
        if place < 6:
            made = made * 10 + np.where(there, digit, 0)
    made *= 10 ** max(0, 6 - int(counts.max()))
    micros[some] = made
    well[some] = good
    return micros, well


def instants_as_text(at_us: Instants) -> pa.StringArray:
    """Whole numbers of microseconds as text, "" for NEVER."""
    texts = pc.cast(pa.array(at_us, mask=at_us == NEVER), pa.string())
    return texts.fill_null("")
