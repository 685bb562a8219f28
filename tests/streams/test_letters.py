"""Dead letters and parked events, as the person on call reads them and chooses what to replay."""

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

import schemas
from rater.months import months_until, next_month
from rater.rate import Parked, Wait
from rater.reject import Reason, Reject
from rater.tariff import Book
from streams.cli import operate
from streams.cli.console import FAILED, WRONG_USE, Stop
from streams.kafka.dead_letter_topic import dead_letter
from streams.operations.letters import printable, show_bytes
from streams.rows.batch import Batch, ParkedRow, RejectedRow
from streams.rows.log_position import Place
from streams.store import letters as letters_module
from streams.store.ledger import Ledger
from streams.store.letters import (
    Selection,
    Sent,
    choose,
    list_letters,
    name_of,
    read_letter,
    remember_sent,
)
from streams.store.parked import BEFORE_ALL, read_waiting, resolve_parked
from tests.conftest import Done, Log, environment, number, rows_of, text

CALLS, TEXTS = "usage.call.v1", "usage.text.v1"
LOGGED_MS = 1_793_491_200_000  # 2026-11-01T00:00:00Z
NUMBER = "+14155557701"
BODY = "secret words"

Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs one of these commands in this process, on the store of `ledger`."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(operate.dlq_app, name="dlq")
    app.add_typer(operate.parked_app, name="parked")

    def command(*arguments: str) -> Done:
        capsys.readouterr()
        try:
            status = app(list(arguments), standalone_mode=False) or 0
            error = ""
        except Stop as stop:
            status, error = stop.status, str(stop)
        except Exception as wrong:
            if not hasattr(wrong, "format_message"):
                raise
            status, error = WRONG_USE, wrong.format_message()
        said = capsys.readouterr()
        return Done(status, said.out, said.err + error)

    url = f"chdb:{tmp_path / 'store-0'}"
    with environment(RATER_CLICKHOUSE_URL=url, COLUMNS="200"):
        yield command


def letter(
    offset: int,
    reason: Reason = Reason.BAD_JSON,
    *,
    topic: str = CALLS,
    value: bytes = b"{bad",
    headers: tuple[tuple[str, bytes], ...] = (),
    message: str = "not a JSON object",
    logged_ms: int | None = None,
) -> RejectedRow:
    place = Place(topic, 3, offset, LOGGED_MS + offset if logged_ms is None else logged_ms)
    return RejectedRow(place, "call", Reject(reason, message), b"acme", value, headers)


def came_back(offset: int, attempt: int, origin: int, **more: Any) -> RejectedRow:
    """The letter that a replay brought, with the headers that a replay adds."""
    marks = (
        ("rater_replay_attempt", str(attempt).encode()),
        ("rater_replay_of", f"{CALLS}/3/{origin}".encode()),
    )
    return letter(offset, headers=(("traceparent", b"00-a-b-01"), *marks), **more)


def name(offset: int) -> str:
    """Of the record of a usual letter, as `replays` names it."""
    return name_of(*key(offset))


def key(offset: int) -> tuple[str, int, int, int]:
    return CALLS, 3, offset, letter(offset).record_hash()


def remember(ledger: Ledger, *sent: tuple[int, int, int]) -> None:
    """The first letter's offset, the attempt, the offset where the log took it."""
    remember_sent(ledger, [Sent(name(first), nth, key(now)) for first, nth, now in sent])


# ------------------------------------------------------------------ list and show


def test_the_list_is_newest_first_with_place_reason_message_and_bytes(
    ledger: Ledger, run: Run
) -> None:
    ledger.write(
        Batch(
            rejected=[
                letter(8, Reason.BAD_TIME, message="ended_at is before dialed_at"),
                letter(9, topic=TEXTS, value=b"{bad" * 10),
                letter(7),
            ]
        )
    )
    done = run("dlq", "list", "--json")
    data = orjson.loads(done.out)
    assert done.status == 0
    assert [
        (row["topic"], row["partition"], row["offset"], row["reason"], row["message"],
         row["raw_bytes"], row["replays"], row["logged_at"])
        for row in data["letters"]
    ] == [
        (TEXTS, 3, 9, "bad_json", "not a JSON object", 40, 0, "2026-11-01T00:00:00.009000Z"),
        (CALLS, 3, 8, "bad_time", "ended_at is before dialed_at", 4, 0,
         "2026-11-01T00:00:00.008000Z"),
        (CALLS, 3, 7, "bad_json", "not a JSON object", 4, 0, "2026-11-01T00:00:00.007000Z"),
    ]  # fmt: skip
    assert data["by_reason"] == {"bad_json": 2, "bad_time": 1}
    assert data["total"] == 3
    shown = run("dlq", "list").out
    assert f"{CALLS} 3 8" in shown
    assert "3 dead letters: bad_json 2, bad_time 1" in shown


SELECTIONS = [
    # arguments                                              | offsets, newest first | counted
    ([],                                                       [9, 8, 7], 3),
    (["--limit", "2"],                                         [9, 8],    3),
    (["--reason", "bad_json"],                                 [9, 7],    2),
    (["--topic", "usage.text.v1"],                             [9],       1),
    (["--topic", "usage.dial.v1"],                             [],        0),
    (["--since", "2026-11-01T00:00:00.008Z"],                  [9, 8],    2),
    (["--since", "2026-11-01T01:00:00.008+01:00"],             [9, 8],    2),
    (["--since", "2026-11-02"],                                [],        0),
    (["--reason", "bad_json", "--topic", "usage.call.v1"],     [7],       1),
]  # fmt: skip


def test_the_list_and_its_counts_follow_reason_topic_since_and_limit(
    ledger: Ledger, run: Run
) -> None:
    rows = [letter(7), letter(8, Reason.BAD_TIME), letter(9, topic=TEXTS)]
    ledger.write(Batch(rejected=rows))
    for arguments, offsets, counted in SELECTIONS:
        data = orjson.loads(run("dlq", "list", "--json", *arguments).out)
        assert [row["offset"] for row in data["letters"]] == offsets, arguments
        assert data["total"] == counted, arguments


def test_a_topics_prefix_may_be_left_out(
    ledger: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write(Batch(rejected=[letter(7, topic="prod.usage.call.v1"), letter(8, topic=TEXTS)]))
    monkeypatch.setenv("RATER_TOPIC_PREFIX", "prod.")
    for topic in (CALLS, f"prod.{CALLS}"):
        data = orjson.loads(run("dlq", "list", "--json", "--topic", topic).out)
        assert [row["offset"] for row in data["letters"]] == [7], topic


def test_the_list_shows_no_byte_of_a_record_and_show_shows_them(ledger: Ledger, run: Run) -> None:
    value = orjson.dumps({"from": NUMBER, "body": BODY})
    ledger.write(Batch(rejected=[letter(7, value=value)]))
    for arguments in ([], ["--json"]):
        said = "".join(run("dlq", "list", *arguments)[1:])
        assert NUMBER not in said
        assert BODY not in said
    assert NUMBER in run("dlq", "show", CALLS, "3", "7").out


def test_show_escapes_what_a_terminal_would_obey_and_tells_the_hash(
    ledger: Ledger, run: Run
) -> None:
    value = b"\x1b[2J\x07[red]\xff\r\n\xe2\x80\xae\xc3\xa9"
    row = letter(7, value=value, headers=(("trace\x1b", b"\x1b]0;x\x07"),))
    ledger.write(Batch(rejected=[row]))
    shown = run("dlq", "show", CALLS, "3", "7").out
    assert "\\x1b[2J\\x07[red]\\xff\\r\\n\\u202eé" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert row.raw_hash() in shown
    data = orjson.loads(run("dlq", "show", CALLS, "3", "7", "--json").out)
    assert base64.b64decode(data["raw_base64"]) == value
    assert (data["raw_bytes"], data["raw_kept_bytes"], data["key"]) == (18, 18, "acme")
    assert data["headers"] == [["trace\x1b", "\x1b]0;x\x07"]]


def test_show_says_how_much_of_a_large_record_is_kept(ledger: Ledger, run: Run) -> None:
    ledger.write(Batch(rejected=[letter(7, value=b"x" * 70_000)]))
    shown = run("dlq", "show", CALLS, "3", "7").out
    assert "70000 bytes, the first 65536 of them:" in shown


def test_a_letter_that_is_not_there_is_said_with_status_one(ledger: Ledger, run: Run) -> None:
    done = run("dlq", "show", CALLS, "3", "7")
    assert done.status == FAILED
    assert f"no dead letter at {CALLS} 3 7" in done.err


PRINTABLE = [
    # text                | shown
    ("plain é 😀 {x}",      "plain é 😀 {x}"),
    ("\x1b[31m",            "\\x1b[31m"),
    ("a\tb\r\n",            "a\\tb\\r\\n"),
    ("\x9b\x00\x7f",        "\\x9b\\x00\\x7f"),
    ("\u202eabc\u2028",     "\\u202eabc\\u2028"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "shown"), PRINTABLE)
def test_what_is_shown_has_no_control_character(given: str, shown: str) -> None:
    assert printable(given) == shown
    assert show_bytes(given.encode()) == shown


def test_wrong_use_is_said_with_status_two(ledger: Ledger, run: Run) -> None:
    for arguments in (
        ["list", "--reason", "no_such"],
        ["list", "--since", "yesterday"],
        ["list", "--limit", "0"],
        ["show", CALLS, "3"],
        ["show", CALLS, "3", "-7"],
        ["replay"],
        ["replay", CALLS, "3"],
        ["replay", CALLS, "3", "7", "--reason", "bad_json"],
        ["replay", "--all", "--max-attempts", "0"],
    ):
        assert run("dlq", *arguments).status == WRONG_USE, arguments


# ------------------------------------------------------------------ which letters are sent

Sends = list[tuple[int, int, int]]
CHOICES: list[tuple[str, list[RejectedRow], Sends, list[int], tuple[int, int, int]]] = [
    # what is in the ledger                     letters; what was sent: first, attempt, offset now
    #                                           | to be sent | on their way, exhausted, unfit
    ("a new letter",
     [letter(7)], [],                                           [7],    (0, 0, 0)),
    ("sent once, not come back",
     [letter(7)], [(7, 1, 9)],                                  [],     (1, 0, 0)),
    ("came back once: the newer one",
     [letter(7), came_back(9, 1, 7)], [(7, 1, 9)],              [9],    (0, 0, 0)),
    ("came back, and it died before remembering: two letters",
     [letter(7), came_back(9, 1, 7)], [],                       [7, 9], (0, 0, 0)),
    ("came back and is sent again",
     [letter(7), came_back(9, 1, 7)], [(7, 1, 9), (7, 2, 12)],  [],     (1, 0, 0)),
    ("came back the third time",
     [letter(7), came_back(9, 1, 7), came_back(11, 2, 7), came_back(12, 3, 7)],
     [(7, 1, 9), (7, 2, 11), (7, 3, 12)],                       [],     (0, 1, 0)),
    ("the first letter is long gone",
     [came_back(11, 2, 7)], [(7, 1, 9), (7, 2, 11)],            [11],   (0, 0, 0)),
    ("two records",
     [letter(7), letter(8), came_back(9, 1, 7)], [(7, 1, 9)],   [8, 9], (0, 0, 0)),
    ("headers of a replay that never was hide no other letter",
     [letter(7), came_back(9, 3, 7), came_back(10, 999_999, 7)], [],
                                                                [7, 9, 10], (0, 0, 0)),
    ("another record where a replay lay before the topic was made anew",
     [letter(9, value=b"{other")], [(7, 1, 9)],                 [9],    (0, 0, 0)),
    ("a value and a header that only look like a replay's",
     [letter(7, value=b'["rater_replay_attempt","3"]',
             headers=(("x", b'["rater_replay_attempt","3"],["rater_replay_of","a/1/2"]'),))], [],
                                                                [7],    (0, 0, 0)),
    ("a conflict, and a line of a file",
     [letter(7, Reason.CONFLICT, value=b""), letter(8, topic="file:calls.json")], [],
                                                                [],     (0, 0, 2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rejected", "remembered", "offsets", "left"),
    [choice[1:] for choice in CHOICES],
    ids=[choice[0] for choice in CHOICES],
)
def test_of_each_record_the_last_letter_is_sent_until_three_attempts(
    ledger: Ledger,
    rejected: list[RejectedRow],
    remembered: Sends,
    offsets: list[int],
    left: tuple[int, int, int],
) -> None:
    ledger.write(Batch(rejected=rejected))
    remember(ledger, *remembered)
    chosen = choose(ledger, Selection(), 3)
    assert [one.offset for one in chosen.letters] == offsets
    assert (chosen.on_their_way, chosen.exhausted, chosen.unfit, chosen.beyond) == (*left, 0)
    # Every letter of a record tells how often the record was sent.
    sent = max((attempt for _, attempt, _ in remembered), default=0)
    of_the_first = [x.replays for x in list_letters(ledger, Selection(), 9) if x.origin == name(7)]
    assert set(of_the_first) <= {sent}


def test_a_run_sends_a_bounded_number_and_says_how_many_are_left(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write(Batch(rejected=[letter(offset) for offset in range(5)]))
    monkeypatch.setattr(letters_module, "SENT_AT_ONCE", 3)
    chosen = choose(ledger, Selection(reason=Reason.BAD_JSON), 3)
    assert ([one.offset for one in chosen.letters], chosen.beyond) == ([0, 1, 2], 2)
    assert choose(ledger, Selection(reason=Reason.BAD_TIME), 3).beyond == 0


def test_a_dry_run_says_what_it_would_send_without_a_broker(ledger: Ledger, run: Run) -> None:
    ledger.write(Batch(rejected=[letter(7), letter(8, Reason.BAD_TIME)]))
    done = run("dlq", "replay", "--all", "--dry-run")
    assert done.status == 0
    assert "2 dead letters would be sent again: bad_json 1, bad_time 1" in done.out
    assert f"{CALLS} 3 7: attempt 1 of 3" in done.out
    assert ledger.query("SELECT count() FROM replays") == [(0,)]


def test_a_letter_named_by_its_place_is_refused_after_the_last_attempt(
    ledger: Ledger, run: Run
) -> None:
    ledger.write(Batch(rejected=[letter(7)]))
    remember(ledger, (7, 3, 9))
    done = run("dlq", "replay", CALLS, "3", "7")
    assert done.status == FAILED
    assert f"{CALLS} 3 7 was sent again 3 times" in done.err
    more = run("dlq", "replay", CALLS, "3", "7", "--max-attempts", "4", "--dry-run")
    assert f"{CALLS} 3 7: attempt 4 of 4" in more.out


def test_a_letters_bytes_come_back_as_they_were(ledger: Ledger) -> None:
    for offset, value in enumerate((b"", b"\x00\xff\xfe", "é".encode(), b"x" * 65_536)):
        row = letter(offset, value=value, headers=(("a", b""), ("a", b"2")))
        ledger.write(Batch(rejected=[row]))
        read = read_letter(ledger, (CALLS, 3, offset))
        assert read is not None
        assert (read[1].value or b"", read[1].key) == (value, b"acme")
        assert read[1].headers == [("a", b""), ("a", b"2")]


# ------------------------------------------------------------------ parked


def parked(offset: int, wait: Wait = Wait.NO_PRICE, **more: Any) -> ParkedRow:
    event = text(id=f"text-{offset}", **more)
    place = Place(TEXTS, 0, offset, LOGGED_MS + offset)
    message = "tariff 'standard': no price for texts outbound"
    outcome = Parked(wait, message)
    return ParkedRow(place, "text", "acme", event["id"], outcome, orjson.dumps(event))


def test_parked_events_are_listed_newest_first_and_counted_by_reason(
    ledger: Ledger, run: Run
) -> None:
    rows = [parked(1), parked(3, Wait.NO_TARIFF), parked(2)]
    ledger.write(Batch(parked=rows))
    events = read_waiting(ledger, BEFORE_ALL, 10)
    resolve_parked(ledger, [event for event in events if event.offset == 2])
    data = orjson.loads(run("parked", "list", "--json").out)
    assert [(row["offset"], row["event_id"], row["reason"]) for row in data["parked"]] == [
        (3, "text-3", "no_tariff"),
        (1, "text-1", "no_price"),
    ]
    assert data["by_reason"] == {"no_tariff": 1, "no_price": 1}
    only = run("parked", "list", "--reason", "no_price").out
    assert "text-1" in only
    assert "text-3" not in only
    assert "1 events wait: no_price 1" in only
    assert text()["from"] not in only


def test_a_retry_rates_what_has_its_price_now_and_says_what_still_waits(
    ledger: Ledger, run: Run, book: Book
) -> None:
    rows = [parked(1), parked(2), parked(3, Wait.CORRECTION, revision=1)]
    ledger.write(Batch(parked=rows))
    done = run("parked", "retry")
    assert done.status == 0
    assert "2 events rated" in done.out
    assert "1 events still wait: correction 1" in done.out
    assert ledger.query("SELECT count() FROM rated FINAL WHERE line = 'texts'") == [(2,)]
    assert "0 events rated" in run("parked", "retry").out


def test_a_retry_settles_what_it_rated_against_what_stood(
    ledger: Ledger, run: Run, book: Book
) -> None:
    waits = parked(1)
    later = text(id=waits.event_id, sent_at="2026-07-10T12:00:00Z")
    ledger.write(Log([text(id=f"other-{n}") for n in range(3)] + [later]).batch(book, [[3]]))
    ledger.write(Batch(parked=[waits]))
    assert "1 events rated" in run("parked", "retry").out
    assert {(name[1], name[3]) for name in rows_of(ledger)} == {("2026-08", waits.event_id)}


def test_a_retry_makes_the_months_of_the_accounts_it_rated(
    ledger: Ledger, run: Run, book: Book
) -> None:
    log = Log([number(acquired_at="2026-08-10T12:00:00Z"), number(account_id="globex", id="n2")])
    ledger.write(log.batch(book))
    ledger.write(Batch(parked=[parked(1)]))
    said = run("parked", "retry").out
    made = ledger.query(
        "SELECT account_id, month FROM rated FINAL WHERE line = 'phone_numbers' ORDER BY month"
    )
    assert {account for account, _ in made} == {"acme"}
    months = [month for _, month in made]
    assert months[0] == date(2026, 8, 1)
    assert months == months_until(months[0], next_month(months[-1]))
    assert months[-1] >= (datetime.now(UTC) - timedelta(hours=14)).date().replace(day=1)
    assert f"{len(months)} monthly charges made" in said


def test_a_retry_uses_the_book_it_is_given(ledger: Ledger, run: Run, tmp_path: Path) -> None:
    whole = schemas.SAMPLE_TARIFF.read_text()
    for file in schemas.SAMPLE_TARIFF.parent.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    cut = whole.index("# ---------------------------------------------------------------- texts")
    until = whole.index("# ---------------------------------------------------------------- camp")
    (tmp_path / "tariff.toml").write_text(whole[:cut] + whole[until:])
    ledger.write(Batch(parked=[parked(1)]))
    done = run("parked", "retry", "--tariff", str(tmp_path / "tariff.toml"))
    assert "0 events rated" in done.out
    assert "1 events still wait: no_price 1" in done.out


def test_a_store_without_the_tables_is_one_clear_line(tmp_path: Path, run: Run) -> None:
    with environment(RATER_CLICKHOUSE_URL="http://127.0.0.1:9"):
        done = run("dlq", "list")
    assert done.status == FAILED
    assert done.err.startswith("the store at http://127.0.0.1:9 can't be used: ")


def test_what_a_producer_says_of_where_its_record_lay_is_left_out_of_the_letter() -> None:
    row = letter(7, headers=(("rater_origin_topic", b"elsewhere"), ("traceparent", b"00-a-b-01")))
    _, _, headers = dead_letter(row)
    names = [name for name, _ in headers]
    assert len(names) == len(set(names))
    assert dict(headers)["rater_origin_topic"] == CALLS.encode()
    assert dict(headers)["traceparent"] == b"00-a-b-01"
