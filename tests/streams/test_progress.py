"""How far workers are, and what a page says of it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from streams.runtime.progress import BOUNDS_GOOD_S, Reached
from streams.store.ledger import Ledger
from streams.store.progress import Progress, read_progress, tell_progress
from streams.web.freshness import BEHIND_AFTER_S, STOPPED_AFTER_S, span_text, state_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW_S = NOW.timestamp()
CALLS, TEXTS = ("calls", 0), ("texts", 0)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


STATES = [
    # behind (s) | told (s) ago | month          | state
    (0,            0,             (2026, 11),      "live"),
    (BEHIND_AFTER_S, 0,           (2026, 11),      "live"),
    (BEHIND_AFTER_S + 1, 0,       (2026, 11),      "behind"),
    (600,          0,             (2026, 11),      "behind"),
    (0,            STOPPED_AFTER_S, (2026, 11),    "behind"),
    (0,            STOPPED_AFTER_S + 1, (2026, 11), "stopped"),
    (None,         None,          (2026, 11),      "none"),
    (0,            0,             (2026, 10),      "over"),
    (None,         None,          (2026, 10),      "over"),
]  # fmt: skip


@pytest.mark.parametrize(("behind", "told", "month", "state"), STATES)
def test_a_state_is_told_by_the_slowest_partition(
    behind: float | None, told: float | None, month: tuple[int, int], state: str
) -> None:
    progress = None
    if behind is not None and told is not None:
        progress = Progress(ago(behind + told), ago(told))
    assert state_of(progress, date(*month, 1), "America/New_York", NOW)["state"] == state


def test_a_month_is_over_by_the_accounts_own_clocks() -> None:
    edge = datetime(2026, 12, 1, 3, tzinfo=UTC)
    assert state_of(None, date(2026, 11, 1), "UTC", edge) == {"state": "over"}
    assert state_of(None, date(2026, 11, 1), "America/New_York", edge) == {"state": "none"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(12, "12 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h")]
)
def test_a_span_is_said_in_its_unit(seconds: int, text: str) -> None:
    assert span_text(seconds) == text


def test_what_is_read_is_of_the_slowest_of_all_partitions(ledger: Ledger) -> None:
    assert read_progress(ledger) is None
    tell_progress(ledger, "g", 2, {0: ago(1)}, NOW)
    assert read_progress(ledger) is None, "of one partition nobody has told yet"
    tell_progress(ledger, "g", 2, {1: ago(30)}, ago(1))
    assert read_progress(ledger) == Progress(ago(30), ago(1))
    tell_progress(ledger, "g", 2, {0: NOW, 1: NOW}, NOW)
    assert read_progress(ledger) == Progress(NOW, NOW)


def test_a_group_that_was_renamed_or_had_more_partitions_holds_nothing_up(ledger: Ledger) -> None:
    tell_progress(ledger, "old", 1, {0: ago(9000)}, ago(9000))
    tell_progress(ledger, "new", 3, {0: ago(50), 1: ago(50), 2: ago(50)}, ago(50))
    assert read_progress(ledger) == Progress(ago(50), ago(50))
    tell_progress(ledger, "new", 2, {0: NOW, 1: NOW}, NOW)
    assert read_progress(ledger) == Progress(NOW, NOW)


REACHED = [
    # lag | in flight since | the broker said so (s) ago | committed until (s) ago
    (0,     None,             1,                           0),
    (0,     None,             BOUNDS_GOOD_S + 5,           BOUNDS_GOOD_S + 5),
    (7,     90,               1,                           90),
    (7,     None,             1,                           200),
]  # fmt: skip


@pytest.mark.parametrize(("lag", "since", "asked", "until"), REACHED)
def test_a_partition_is_committed_until(
    lag: int, since: float | None, asked: float, until: float
) -> None:
    reached = Reached()
    before = {CALLS: NOW_S - 200, TEXTS: NOW_S - 200}
    reached.update({CALLS: 1, TEXTS: 1}, before, bounds_at_s=NOW_S - 200, now_s=NOW_S - 200)
    in_flight = {} if since is None else {CALLS: NOW_S - since}
    reached.update({CALLS: lag, TEXTS: 0}, in_flight, bounds_at_s=NOW_S - asked, now_s=NOW_S)
    assert reached.by_partition(2) == {0: ago(until)}


def test_a_partition_is_told_of_once_each_of_its_topics_is_known() -> None:
    reached = Reached()
    reached.update({CALLS: 0, TEXTS: 5}, {}, bounds_at_s=NOW_S, now_s=NOW_S)
    assert reached.by_partition(2) == {}
    reached.update({CALLS: 0, TEXTS: 0}, {}, bounds_at_s=NOW_S, now_s=NOW_S)
    assert reached.by_partition(2) == {0: NOW}
    reached.update({}, {}, bounds_at_s=NOW_S, now_s=NOW_S)
    assert reached.by_partition(2) == {}, "it went to another worker"
