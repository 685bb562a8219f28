"""A file in memory is a path that is written and read, and is gone at the end."""

import os
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from streams.store.ledger import Ledger
from streams.store.memory_file import memory_file


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_what_is_written_by_its_path_is_read_by_its_path(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    open_before = len(os.listdir("/proc/self/fd"))
    with memory_file() as path:
        assert path.startswith("/proc/self/fd/") == (platform == "linux")
        Path(path).write_bytes(b"longer")
        Path(path).write_bytes(b"rows")
        assert Path(path).read_bytes() == b"rows"
    assert platform == "linux" or not Path(path).exists()
    assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_rows_reach_the_engine_on_either_way(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    ledger.command(
        "CREATE TABLE fruit (name String, `a b` Nullable(Int64)) ENGINE = MergeTree ORDER BY name"
    )
    monkeypatch.setattr(sys, "platform", platform)
    ledger._insert("fruit", {"name": pa.array(["fig", "plum"]), "a b": pa.array([None, 7])})
    ledger._insert("fruit", {"name": pa.array(["apple"]), "a b": pa.array([1])})
    rows = ledger.query("SELECT name, `a b` FROM fruit ORDER BY name")
    assert rows == [("apple", 1), ("fig", None), ("plum", 7)]
