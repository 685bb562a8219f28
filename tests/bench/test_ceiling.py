"""The benchmark's SQL fits the ledger as it is now."""

from pathlib import Path

from streams.store.ledger import Ledger
from tests.bench.ceiling import rate_by_sql, write_lines
from tests.bench.traffic import make_events


def test_the_engine_rates_the_events_alone(ledger: Ledger, tmp_path: Path) -> None:
    events = make_events(1_000, seed=1)
    write_lines(events, tmp_path / "events.jsonl")
    of_usage = sum(event.kind in ("call", "text", "dial", "amd") for event in events)
    rows = rate_by_sql(ledger, tmp_path / "events.jsonl")
    assert rows >= of_usage > 900  # a text has two
