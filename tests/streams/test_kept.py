"""What is kept of a record that is no event: never the body of a text."""

import orjson
import pytest

from rater.kinds import KINDS
from rater.reject import Reason, Reject
from rater.tariff import Book
from streams.kafka.dead_letter_topic import dead_letter
from streams.rows.batch import Batch, RejectedRow, add_columns, add_records, add_rejected
from streams.rows.kept import KEPT_BYTES, kept_of
from streams.store.ledger import Ledger
from tests.conftest import LOGGED_MS, Logged, text

SECRET = "meet me at nine"

# a record's value                               | what is kept of it
KEPT = [
    (b'{"id":"t","body":"meet me at nine"}',       b'{"id":"t"}'),
    (b'\xef\xbb\xbf{"id":"t","body":"meet me at nine"}', b'{"id":"t"}'),
    (b'{"id":"t","b\\u006fdy":"meet me at nine"}', b'{"id":"t"}'),
    (b'{"body":["meet me at nine"],"id":"t"}',     b'{"id":"t"}'),
    (b'{"body":"x","id":"t","body":"meet me at nine"}', b'{"id":"t"}'),
    (b'{"text":{"body":"meet me at nine"},"id":1}', b'{"text":{},"id":1}'),
    (b'[{"body":"meet me at nine"},2]',            b'[{},2]'),
    # What has no body is kept to the byte.
    (b'{ "id":"t", "n":1e400, "id":"u" }',         b'{ "id":"t", "n":1e400, "id":"u" }'),
    (b'somebody',                                  b'somebody'),
    # What does not parse: a string after the name is cut out.
    (b'{"id":"t","body":"meet me at nine"',        b'{"id":"t","body":null'),
    (b'{"id":"t","body" : "meet me at ni',         b'{"id":"t","body" : null'),
    (b'{"body":"a \\" meet me at nine","to":NaN}', b'{"body":null,"to":NaN}'),
    (b'{"body":"meet me at nine\xff"}',            b'{"body":null}'),
    # Too deep to walk, or to be written anew.
    *((b'[' * n + b'{"body":"meet me at nine"}' + b']' * n, b'[' * n + b'{"body":null}' + b']' * n)
      for n in (300, 900, 1000)),
    (b'[' * 2000 + b'{"body":"meet me at nine"}', b'[' * 2000 + b'{"body":null}'),
    (b'\xff\xfe',                                  b'\xff\xfe'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kept"), KEPT, ids=range(len(KEPT)))
def test_no_body_is_kept(value: bytes, kept: bytes) -> None:
    assert kept_of(value) == kept


def test_what_is_kept_has_a_bound_after_the_body_is_gone() -> None:
    value = orjson.dumps({"body": SECRET * 10_000, "id": "t", "to": "x" * KEPT_BYTES})
    assert kept_of(value)[:16] == b'{"id":"t","to":"'
    assert len(kept_of(value)) == KEPT_BYTES
    assert kept_of(b"\xff" * (KEPT_BYTES + 1)) == b"\xff" * KEPT_BYTES


def refused_texts() -> list[bytes]:
    """A text for each way to be refused."""
    whole = text(body=SECRET)
    return [
        orjson.dumps(event)
        for event in (
            whole | {"direction": "sideways"},
            whole | {"kind": "call"},
            whole | {"to": "nobody"},
            whole | {"sent_at": "1950-01-01T00:00:00Z"},
            whole | {"sent_at": "2150-01-01T00:00:00Z"},
            whole | {"body": {"said": SECRET}},
            {name: value for name, value in whole.items() if name != "status"},
        )
    ] + [orjson.dumps(whole)[:-1], orjson.dumps(whole)[:-1] + b',"id":"again"}']


def letters_of(book: Book) -> list[RejectedRow]:
    records = [Logged(n, LOGGED_MS, b"acme", value) for n, value in enumerate(refused_texts())]
    by_row, by_column, unstored = Batch(), Batch(), Batch()
    kind = KINDS["text"]
    add_records(by_row, kind, kind.topic, 0, records, book)
    add_columns(by_column, kind, kind.topic, [(0, records)], book)
    add_rejected(unstored, kind, kind.topic, (0, records), Reject(Reason.NOT_STORED, "refused"))
    letters = [*by_row.rejected, *by_column.rejected, *unstored.rejected]
    assert len(letters) == 3 * len(records)
    return letters


def test_no_dead_letter_carries_a_body_whatever_the_reason(book: Book) -> None:
    for letter in letters_of(book):
        key, value, headers = dead_letter(letter)
        told = [key or b"", value, *(content for _, content in headers)]
        assert not [part for part in told if SECRET.encode() in part], letter.reject


def test_the_table_of_dead_letters_has_no_body(ledger: Ledger, book: Book) -> None:
    ledger.write(Batch(rejected=letters_of(book)))
    assert ledger.query("SELECT count() FROM rejected FINAL") == [(len(refused_texts()),)]
    found = ledger.query(
        "SELECT count() FROM rejected WHERE position(raw, {secret:String}) > 0"
        " OR position(message, {secret:String}) > 0 OR position(headers, {secret:String}) > 0",
        {"secret": SECRET},
    )
    assert found == [(0,)]
