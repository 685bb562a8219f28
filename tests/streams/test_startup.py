"""What a worker refuses to start with: each check against a real deviation."""

from collections.abc import Callable, Iterator

import faust
import faust.streams
import pytest
from aiokafka import codec

from streams.base.settings import Settings
from streams.ingest.app import make_app
from streams.ingest.startup import TABLES, StartupError, check_app, check_tables, isolation_level
from streams.store.ledger import Ledger

RATED = "(account_id, month, line, identity, revision)"
COPY = "CREATE TABLE rated AS away ENGINE = {engine} PARTITION BY {by} ORDER BY {order}"


def run(ledger: Ledger, sql: str) -> None:
    ledger.command(sql)


def test_the_tables_of_the_migrations_are_as_expected_and_all_are_looked_at(
    any_ledger: Ledger,
) -> None:
    check_tables(any_ledger)
    names = any_ledger.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    assert {name for (name,) in names} == TABLES.keys() | {"migrations"}


DEVIATIONS = [
    # engine                          by                  order   settings | the line says
    ("SummingMergeTree",              "toYYYYMM(month)",  RATED,              "",
     "table rated has engine 'SummingMergeTree', and must have 'ReplacingMergeTree(version)'"),
    ("ReplacingMergeTree",            "toYYYYMM(month)",  RATED,              "",
     "table rated has engine 'ReplacingMergeTree', and must"),
    ("MergeTree",                     "toYYYYMM(month)",  RATED,              "",
     "table rated has engine 'MergeTree', and must"),
    ("ReplacingMergeTree(version)",   "tuple()",          RATED,              "",
     "table rated has partition_key 'tuple()', and must have 'toYYYYMM(month)'"),
    ("ReplacingMergeTree(version)",   "toYYYYMM(month)",  "(account_id, month, line, identity)", "",
     "table rated has sorting_key 'account_id, month, line, identity', and must"),
    ("ReplacingMergeTree(version)",   "toYYYYMM(month)",  RATED,
     "SETTINGS non_replicated_deduplication_window = 100",
     "table rated has non_replicated_deduplication_window = 100: identical inserts would vanish"),
    ("ReplacingMergeTree(version)",   "toYYYYMM(month)",  RATED,
     "TTL month + toIntervalDay(9)",
     "table rated has a TTL"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "by", "order", "settings", "says"), DEVIATIONS)
def test_a_table_that_is_another_way_is_refused_in_one_line(
    ledger: Ledger, engine: str, by: str, order: str, settings: str, says: str
) -> None:
    run(ledger, "RENAME TABLE rated TO away")
    run(ledger, COPY.format(engine=engine, by=by, order=order) + " " + settings)
    with pytest.raises(StartupError) as refused:
        check_tables(ledger)
    assert str(refused.value).startswith(says)
    assert len(str(refused.value).splitlines()) == 1


def test_a_setting_that_was_altered_is_refused_and_good_again_when_it_is_reset(
    ledger: Ledger,
) -> None:
    for table in ("receipts", "accepted"):
        run(ledger, f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 1")
        with pytest.raises(StartupError, match=f"ALTER TABLE {table} RESET SETTING"):
            check_tables(ledger)
        run(ledger, f"ALTER TABLE {table} RESET SETTING non_replicated_deduplication_window")
        run(ledger, f"ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 5000")
        check_tables(ledger)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_or_view_that_is_missing_is_refused(ledger: Ledger, name: str) -> None:
    run(ledger, f"DROP TABLE {name}")
    with pytest.raises(StartupError) as refused:
        check_tables(ledger)
    assert str(refused.value) == f"table {name} does not exist: run `rater migrate`"


def test_a_view_in_a_tables_place_is_refused(ledger: Ledger) -> None:
    run(ledger, "DROP TABLE accepted_of_rated")
    run(ledger, "CREATE VIEW accepted_of_rated AS SELECT 1")
    with pytest.raises(StartupError, match="accepted_of_rated has engine 'View', and must"):
        check_tables(ledger)


# ------------------------------------------------------------------ Faust


Apps = Callable[[faust.App], faust.App]


@pytest.fixture
def apps() -> Iterator[Apps]:
    """Apps that are never started: what their consumers hold is let go of at the end."""
    made: list[faust.App] = []

    def keep(app: faust.App) -> faust.App:
        made.append(app)
        return app

    yield keep
    for app in made:
        app.consumer._thread.thread_loop.close()


async def test_our_app_is_as_it_must_be(apps: Apps) -> None:
    app = apps(make_app(Settings()))
    await check_app(app)
    assert await isolation_level(app) == "read_committed"


async def test_fausts_own_web_is_refused(apps: Apps) -> None:
    app = apps(make_app(Settings()))
    app.conf.web_enabled = True
    with pytest.raises(StartupError, match=r"own web is on, at .*:6066.*web_enabled=False"):
        await check_app(app)


async def test_a_consumer_that_reads_uncommitted_records_is_refused(apps: Apps) -> None:
    app = apps(
        faust.App("plain", broker="kafka://127.0.0.1:1", web_enabled=False, autodiscover=False)
    )
    with pytest.raises(StartupError, match="isolation level is 'read_uncommitted'"):
        await check_app(app)


async def test_a_faust_without_its_compiled_extension_is_refused(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = apps(make_app(Settings()))
    monkeypatch.setattr(faust.streams, "_CStreamIterator", None)
    with pytest.raises(StartupError, match="NO_CYTHON"):
        await check_app(app)


async def test_a_codec_that_is_not_installed_is_refused(
    apps: Apps, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = apps(make_app(Settings()))
    monkeypatch.setattr(codec, "cramjam", None)
    with pytest.raises(StartupError, match=r"in snappy, lz4, zstd can't be read.*install cramjam"):
        await check_app(app)
