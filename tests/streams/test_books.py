"""The tariff book in force: followed while its files change, and never replaced by a broken one."""

import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import schemas
from rater.tariff_file import TariffError
from streams.base import metrics
from streams.base.books import BookFile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    shutil.copytree(schemas.SAMPLE_TARIFF.parent, tmp_path / "tariff")
    return tmp_path / "tariff" / "sample.toml"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    stat = path.stat()
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # an editor is slower than a test


def shown() -> dict[str, float]:
    """The versions that the metric shows."""
    (family,) = metrics.TARIFF_INFO.collect()
    return {sample.labels["version"]: sample.value for sample in family.samples}


def test_a_book_that_did_not_change_is_not_loaded_again(file: Path) -> None:
    book_file = BookFile(file)
    first = book_file.book
    assert not book_file.reload()
    assert book_file.book is first


def test_a_change_of_the_file_is_a_new_book(file: Path) -> None:
    book_file = BookFile(file)
    assert shown() == {"standard@2012-01-01T00:00:00Z": 1}
    edit(file, "2012-01-01T00:00:00Z", "2025-02-01T00:00:00Z")
    assert book_file.reload()
    assert book_file.book.label() == "standard@2025-02-01T00:00:00Z"
    assert shown() == {"standard@2025-02-01T00:00:00Z": 1}
    assert not book_file.reload()


@pytest.mark.parametrize("name", ["sample-calls.csv", "sample-tax.csv"])
def test_a_change_of_a_csv_beside_it_is_a_new_book(file: Path, name: str) -> None:
    book_file = BookFile(file)
    first = book_file.book
    path = file.parent / name
    path.write_text(path.read_text().rstrip("\n").rpartition("\n")[0] + "\n")
    assert book_file.reload()
    assert book_file.book is not first


BREAKS = [
    # what is wrong                | the words in the file    what they become
    ("no TOML",                      'currency = "USD"',        "currency = ["),
    ("a negative price",             "rate = 0.0085",           "rate = -0.0085"),
    ("a prefix list that is gone",   "sample-calls.csv",        "gone.csv"),
    ("an unknown zone",              "America/New_York",        "America/Gotham"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "old", "new"), BREAKS, ids=[what for what, *_ in BREAKS])
def test_a_broken_book_keeps_the_one_in_force_loudly_and_a_mended_one_is_taken(
    file: Path, what: str, old: str, new: str
) -> None:
    book_file = BookFile(file)
    first = book_file.book
    edit(file, old, new)
    with capture_logs() as logs:
        assert not book_file.reload()
    assert book_file.book is first
    assert shown() == {"standard@2012-01-01T00:00:00Z": 1}
    (said,) = logs
    assert (said["event"], said["log_level"], said["file"]) == (
        "tariff_refused", "error", str(file),
    )  # fmt: skip
    assert any("sample.toml" in mistake for mistake in said["mistakes"])
    with capture_logs() as logs:
        assert not book_file.reload()
    assert logs == []  # said once, not every two seconds
    edit(file, new, old)
    assert book_file.reload()
    assert book_file.book is not first


def test_prices_edited_under_the_label_they_had_are_told_of(file: Path) -> None:
    """Rows of one version would then be charged by two prices, and nothing on them says which."""
    book_file = BookFile(file)
    for old, new, told in (
        ("rate = 0.0085", "rate = 0.0095", ["standard@2012-01-01T00:00:00Z"]),
        ("# FACT", "\n# FACT", None),  # the same prices on other lines
        ("2012-01-01T00:00:00Z", "2025-02-01T00:00:00Z", None),  # the same prices by another label
    ):
        edit(file, old, new)
        with capture_logs() as logs:
            assert book_file.reload()
        said = [log["versions"] for log in logs if log["event"] == "tariff_edited_in_place"]
        assert said == ([told] if told else [])


def test_a_file_that_was_taken_away_keeps_the_book_in_force(file: Path) -> None:
    book_file = BookFile(file)
    first = book_file.book
    file.unlink()
    assert not book_file.reload()
    assert book_file.book is first


def test_a_process_does_not_start_on_a_broken_book(file: Path) -> None:
    edit(file, "rate = 0.0085", "rate = -0.0085")
    with pytest.raises(TariffError, match=r"sample\.toml"):
        BookFile(file)
