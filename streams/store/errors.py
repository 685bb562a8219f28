"""Errors of the store, sorted: those that speak of the rows, and those that may pass.

A row's error is the same however often it is written. All others (no connection, a missing table, a
grant, a full disk, no memory, an old version) are the store's, and wrong for everyone.
"""

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

StoreErrors = (ClickHouseError, OSError)

# Codes of ClickHouse's that can come from what a row holds. One that is not here stops the worker
# with nothing acknowledged, as an outage does.
_OF_ROWS = frozenset({
    6, 26, 27, 33, 38, 41, 72, 130,  # can't parse a text, array, date, instant, number
    69, 70, 117, 128, 131, 321, 349, 407,  # out of bounds, too large, null, an overflow
    469,  # a constraint of the table's
})  # fmt: skip


_UNMADE = frozenset({16, 47, 60, 81})  # no such column, table, database: not migrated, or not here


def is_unmade(error: BaseException) -> bool:
    """Whether the store has not all of the ledger's tables."""
    return isinstance(error, Error) and error.code in _UNMADE


def is_answer(error: BaseException) -> bool:
    """Whether the store is there and said no: to another question it may say yes."""
    return isinstance(error, Error) and error.code is not None


def why_refused(error: Exception) -> str:
    """Why rows can't be written, however often: the error's name without any data; or an empty
    text where the error may pass.

    What is raised while rows become columns is such an error, too.
    """
    if isinstance(error, MemoryError):
        return ""
    if not isinstance(error, StoreErrors):
        return type(error).__name__
    if isinstance(error, Error) and error.code in _OF_ROWS:
        return f"{error.name} ({error.code})"
    return ""
