"""Bad data as a value: why a record could not become an event, in words a person can act on."""

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """What is wrong with a record. The values are on the wire and in metrics: never rename one."""

    EMPTY = "empty"  # no value at all (a tombstone)
    TOO_LARGE = "too_large"  # longer than MAX_RECORD_BYTES
    BAD_JSON = "bad_json"  # not JSON: syntax, UTF-8, NaN, nesting
    DUPLICATE_KEY = "duplicate_key"  # one name twice in an object
    WRONG_KIND = "wrong_kind"  # `kind` disagrees with the topic, or names none of ours
    BAD_FIELD = "bad_field"  # missing, of the wrong type, empty, an unknown word
    BAD_NUMBER = "bad_number"  # a party that is neither E.164 nor another known form
    BAD_TIME = "bad_time"  # end before start, answer outside the call, longer than 24 h
    IN_FUTURE = "in_future"  # more than five minutes after the log received it
    CONFLICT = "conflict"  # the same event id with other content; the first in the log stands
    UNREADABLE = "unreadable"  # a line of a foreign format that could not be understood
    BAD_BATCH = "bad_batch"  # of a record batch that can't be unpacked
    NOT_RATED = "not_rated"  # the engine fails on it, and on others it does not
    NOT_STORED = "not_stored"  # the store refuses its rows, and takes those of others


class Reject(NamedTuple):
    """A record that is no event. `message` says what, which value, and what is expected."""

    reason: Reason
    message: str
