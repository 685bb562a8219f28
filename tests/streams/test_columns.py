"""Rating by column gives what rating row by row gives: the same rows, receipts, and all else.

Events are drawn from what the kinds declare: a kind that is added is compared without a line here.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater import numbers
from rater.decode import decode, decode_all
from rater.event_columns import read
from rater.event_rows import content_hash, facts_of, identity_of, rank_of, usage_of
from rater.instants import NEVER, Instant, parse_instants, to_us
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.kinds.kind import RANK_MOST, Kind
from rater.price import Price
from rater.tariff import Memo
from rater.usage_columns import UsageColumns, content_hashes, states_of, usage_columns
from streams.rows.batch import Batch, PartitionRecords, add_columns, add_records
from streams.rows.log_position import Place, Places, place_of_version
from streams.store.columns import _block_columns, _rated_columns
from tests.conftest import LOGGED_MS, Logged, text
from tests.rater.drawn import INSTANTS, DrawnBook, books, calls, declared, instants_written
from tests.rater.make import (
    EVENTS,
    RECEIVED,
    SAMPLE,
    a_price,
    all_of,
    decoded,
    modest,
    read_drawn,
    us,
)

BY_EVENT = sorted(name for name, kind in KINDS.items() if kind.usage is not None)
TOO_EARLY = "2009-03-01T00:00:00Z"  # before any tariff of the sample
ROOMS = [1, 4, 1_000]  # how much a book remembers


@st.composite
def values(draw: st.DrawFn, kind: Kind) -> bytes | None:
    """A record's value: mostly an event, sometimes one that must wait, or none at all."""
    event: dict[str, Any] = draw(declared(kind))
    names = sorted(event)
    match draw(
        st.sampled_from(["good"] * 8 + ["early", "field", "unknown", "lost", "twice", "bytes"])
    ):
        case "early":
            event |= {name: TOO_EARLY for name in event if name.endswith("_at") and event[name]}
        case "field":
            wrong: list[Any] = [
                "?",
                "",
                None,
                -1,
                0,
                2.5,
                True,
                [],
                {},
                2**40,
                "x" * 300,
                "2026-02-30T00:00:00Z",
            ]
            event[draw(st.sampled_from(names))] = draw(st.sampled_from(wrong))
        case "unknown":
            event[draw(st.sampled_from(["spare", "carier"]))] = draw(
                st.sampled_from([1, "a", None, {"a": [{}]}, '"', "\\", 10**400])
            )
        case "lost":
            del event[draw(st.sampled_from(names))]
        case "twice":
            again = draw(st.sampled_from([*names, "spare"]))
            twice = json.dumps(event | {"spare": {"a": 1}})[:-1]
            more = f',"{again}":{json.dumps(event.get(again, "b"))}' * 2
            return (twice + more + "}").encode()
        case "bytes":
            whole = json.dumps(event).encode()
            cut = draw(st.integers(0, len(whole)))
            return draw(
                st.sampled_from(
                    [None, b"", b"{", b"[]", b"\xff", whole[:cut], whole + whole, whole + b"\n",
                     whole[:cut] + b"\xff" + whole[cut:], b"\x0b" + whole, whole[:-1] + b"\n}",
                     b'{"spare":' + b"[" * 5_000 + b"]" * 5_000 + b"," + whole[1:]]
                )
            )  # fmt: skip
    return json.dumps(event, ensure_ascii=draw(st.booleans())).encode()


@st.composite
def ranges_of(draw: st.DrawFn, kind: Kind) -> list[PartitionRecords]:
    made: list[PartitionRecords] = []
    for _ in range(draw(st.integers(1, 4))):
        partition, first = draw(st.integers(0, 2)), draw(st.integers(0, 2**40))
        records = [
            Logged(first + n, LOGGED_MS + draw(st.integers(0, 10**11)), b"key", value)
            for n, value in enumerate(draw(st.lists(values(kind), min_size=1, max_size=10)))
        ]
        made.append((partition, records))
    return made


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """The rows of the ledger as they are inserted, whichever way they came to be."""
    rows: list[dict[str, Any]] = []
    for columns in (_rated_columns(batch.rated), _block_columns(batch.blocks)):
        if columns is not None:
            listed = [column.to_pylist() for column in columns.values()]
            rows += [dict(zip(columns, row, strict=True)) for row in zip(*listed, strict=True)]
    return sorted(rows, key=lambda row: (row["partition"], row["offset"], row["line"], str(row)))


def all_else(batch: Batch) -> dict[str, Any]:
    """All but the rows, which may be told in blocks; the times of all records in one order."""
    told = {
        field.name: getattr(batch, field.name)
        for field in fields(batch)
        if field.name not in ("blocks", "rated", "logged_ms")
    }
    return told | {"logged_ms": sorted(np.concatenate([*batch.logged_ms, []]).tolist())}


@pytest.mark.parametrize("kind", KINDS)
@settings(modest, max_examples=60)
@given(data=st.data())
def test_rated_by_column_as_row_by_row(kind: str, data: st.DataObject) -> None:
    made = data.draw(ranges_of(KINDS[kind]))
    topic, by_row = KINDS[kind].topic, Batch()
    for partition, records in made:
        add_records(by_row, KINDS[kind], topic, partition, records, SAMPLE)
    memo = Memo(data.draw(st.sampled_from(ROOMS)))
    for _ in range(2):  # by one who remembers none of them, and by one who does
        by_column = Batch()
        add_columns(by_column, KINDS[kind], topic, made, SAMPLE, memo)
        assert rows_of(by_column) == rows_of(by_row)
        assert all_else(by_column) == all_else(by_row)


@pytest.mark.parametrize("kind", BY_EVENT)
@settings(modest, max_examples=12)
@given(drawn=books(), data=st.data())
def test_rated_by_column_as_row_by_row_where_accounts_change(
    kind: str, drawn: DrawnBook, data: st.DataObject
) -> None:
    book, _ = read_drawn(drawn)
    events = data.draw(st.lists(declared(KINDS[kind]), min_size=2, max_size=12))
    records = [
        Logged(n, LOGGED_MS + 10**11, None, json.dumps(e).encode()) for n, e in enumerate(events)
    ]
    topic, by_row, by_column = KINDS[kind].topic, Batch(), Batch()
    add_records(by_row, KINDS[kind], topic, 0, records, book)
    add_columns(by_column, KINDS[kind], topic, [(0, records)], book)
    assert rows_of(by_column) == rows_of(by_row)
    assert all_else(by_column) == all_else(by_row)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_well_events_are_rated_by_column_where_the_kind_is_not_monthly(kind: str) -> None:
    """Otherwise the property above would compare the plain way with itself."""
    event = json.dumps(EVENTS[kind]()).encode()
    ranges = [(0, [Logged(n, LOGGED_MS, None, event) for n in range(3)])]
    batch = Batch()
    add_columns(batch, KINDS[kind], KINDS[kind].topic, ranges, SAMPLE)
    assert bool(batch.blocks) is not KINDS[kind].monthly
    assert batch.rated == []


@pytest.mark.parametrize("kind", BY_EVENT)
@settings(modest, max_examples=30)
@given(data=st.data())
def test_most_that_is_well_is_read_by_column(kind: str, data: st.DataObject) -> None:
    """What producers send otherwise: no record of it takes its company to the slow way."""
    drawn = data.draw(st.lists(declared(KINDS[kind]), min_size=1, max_size=6))
    spoiled = data.draw(st.sampled_from([None, b"{", b'{"id":1}', b'{"id":"a","id":"b"}']))
    raws = [json.dumps(event | {"spare": "a"}).encode() for event in drawn]
    well = [isinstance(decode(KINDS[kind], raw, us(RECEIVED)), Event) for raw in raws]
    usual = [not any(odd in raw for odd in (b"+0000", b":60")) and not _has_ten_decimals(raw)
             for raw in raws]  # fmt: skip
    received_us = np.full(len(raws) + 1, us(RECEIVED))
    _, rows = read(KINDS[kind], [spoiled, *raws], received_us)
    assert set(rows.tolist()) >= {
        index + 1 for index in range(len(raws)) if well[index] and usual[index]
    }


def _has_ten_decimals(raw: bytes) -> bool:
    return bool(re.search(rb"\.\d{10}", raw))


ODDLY = [
    # a call's field, and how it is written
    ('"revision": 0',    '"revision": 0.0'),
    ('"revision": 0',    '"revision": -0'),
    ('"revision": 0',    '"revision": 0, "spare": {"of": [1, "}\\n{"]}'),
    ('"media": "voice"', '"media": "\\u0076oice"'),
    ('"media": "voice"', '"m\\u0065dia": "voice"'),
    ('"id": "odd"',      '"id": "\\"\\\\\\ud83d\\ude00\\u0000\\n"'),
    ('"id": "odd"',      '\n\t"id"\r\n :"odd"'),
    ('"group_id": null', '"device": null'),
    ('00:30Z"',          '00:30.1234567Z"'),
    ('00:30Z"',          '00:30.999999999Z"'),
    ('00:30Z"',          '00:30.12z"'),
    ('T00:00:30Z"',      't02:00:30+02:00"'),
    ('T00:00:30Z"',      ' 00:00:30-00:00"'),
]  # fmt: skip


@pytest.mark.parametrize(("usual", "odd"), ODDLY)
def test_what_is_written_oddly_is_rated_as_what_is_not(usual: str, odd: str) -> None:
    written = (
        '{"id": "odd", "account_id": "acme", "revision": 0, "media": "voice", "group_id": null,'
        ' "direction": "outbound", "from": "+14155550100", "to": "+12125550100", "status":'
        ' "completed", "dialed_at": "2026-02-03T00:00:00Z", "ended_at": "2026-02-03T00:00:30Z"}'
    )
    assert usual in written
    raws = [written.replace(usual, odd).encode(), written.replace('"odd"', '"usual"').encode()]
    records = [Logged(n, LOGGED_MS, None, raw) for n, raw in enumerate(raws)]
    by_row, by_column = Batch(), Batch()
    add_records(by_row, KINDS["call"], "usage.call.v1", 0, records, SAMPLE)
    add_columns(by_column, KINDS["call"], "usage.call.v1", [(0, records)], SAMPLE)
    assert rows_of(by_column) == rows_of(by_row)
    rows = [len(block.usage) for block in by_column.blocks]
    assert sum(rows) + len(by_column.rated) == len(by_row.rated)
    assert sum(rows) >= 1  # the usual one stays by column, whatever stands beside it
    assert all_else(by_column) == all_else(by_row)


def test_one_that_must_wait_leaves_the_others_together() -> None:
    good, revised = text(id="a"), text(id="b", revision=1)
    records = [Logged(n, LOGGED_MS, None, json.dumps(e).encode())
               for n, e in enumerate([good, revised, good])]  # fmt: skip
    batch = Batch()
    add_columns(batch, KINDS["text"], "usage.text.v1", [(0, records)], SAMPLE)
    assert [len(block.usage) for block in batch.blocks] == [2]
    assert [row.event_id for row in batch.parked] == ["b"]
    assert batch.receipts[0][2:-1] == (0, 2, *[LOGGED_MS] * 2, 3, 2, 4, 0, 1, 0, 2 * 10_900_000)


# ------------------------------------------------------------------ what is declared of them


def columns_of(kind: str, drawn: Sequence[dict[str, Any]]) -> UsageColumns:
    raws = [json.dumps(event).encode() for event in drawn]
    columns, rows = read(KINDS[kind], raws, np.full(len(raws), us(RECEIVED)))
    assert columns is not None
    assert rows.tolist() == list(range(len(raws)))
    return usage_columns(columns)


@pytest.mark.parametrize("kind", BY_EVENT)
@settings(modest, max_examples=40)
@given(data=st.data())
def test_the_columns_of_many_are_what_each_says_of_itself(kind: str, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(declared(KINDS[kind]), min_size=1, max_size=8))
    raws = [json.dumps(event).encode() for event in drawn]
    columns, rows = read(KINDS[kind], raws, np.full(len(raws), us(RECEIVED)))
    if columns is None:
        return
    made = usage_columns(columns)
    hashes = content_hashes(columns, made.quantity)
    keys: dict[Any, set[int]] = {}
    for index, row in enumerate(rows.tolist()):
        event = decode(KINDS[kind], raws[row], us(RECEIVED))
        assert isinstance(event, Event)
        usage = usage_of(event)
        assert usage is not None
        assert made.ids[index].as_py() == event.id
        assert made.identities[index].as_py() == identity_of(event)
        assert made.at_us[index] == usage.at_us
        assert _us_or_none(made.answered_us[index]) == usage.answered_us
        assert _us_or_none(made.ended_us[index]) == usage.ended_us
        assert made.dialed[index] == usage.dialed
        assert made.quantity[index] == usage.segments
        assert made.number[index].as_py() == usage.number
        assert made.ranks[index] == rank_of(event)
        assert hashes[index] == content_hash(event)
        assert states_of(int(made.states[index])) == (usage.origin, usage.termination)
        facts: tuple[Any, ...] = made.facts
        assert tuple(column[index].as_py() for column in facts) == facts_of(event)
        alike = (usage.lines, usage.dims, usage.status, usage.dialed, usage.answered_us is None)
        keys.setdefault(int(made.pricing_key[index]), set()).add(alike)  # type: ignore[arg-type]
    assert all(len(same) == 1 for same in keys.values())


PARTIES = [
    "+14155550100", "+12125550100", "+18005550100", "+18225550100", "+448001111", "+447911123456",
    "+266696687", "Restricted", "+448001111111", "87121", "client:ann", "client:+1415",
    "sip:a@b.cde", "sips:é@b.cd", "anonymous",
]  # fmt: skip


@pytest.mark.parametrize("from_", PARTIES)
@pytest.mark.parametrize("to", PARTIES)
def test_forms_and_states_of_many_numbers_are_those_of_each(from_: str, to: str) -> None:
    """Whatever stands beside it: a form that another has makes no two alike."""
    made = [{"from": from_, "to": to}, {"from": to, "to": from_}, {"from": to, "to": to}]
    usage = columns_of("text", [text(**parties) for parties in made])
    faces = [(numbers.face(one["from"]), numbers.face(one["to"])) for one in made]
    for state, (origin, termination) in zip(usage.states.tolist(), faces, strict=True):
        assert states_of(state) == (origin[1], termination[1])
    forms = [(origin[0], termination[0]) for origin, termination in faces]
    alike = usage.pricing_key.tolist()
    assert [[one == other for other in alike] for one in alike] == [
        [one == other for other in forms] for one in forms
    ]


def _us_or_none(at_us: np.int64) -> int | None:
    return None if at_us == NEVER else int(at_us)


@pytest.mark.parametrize("kind", BY_EVENT)
@settings(modest, max_examples=60)
@given(data=st.data())
def test_columns_take_nothing_that_decode_refuses(kind: str, data: st.DataObject) -> None:
    raws = data.draw(st.lists(values(KINDS[kind]), min_size=1, max_size=6))
    alone = [decode(KINDS[kind], raw, us(RECEIVED)) for raw in raws]
    assert all_of(decode_all(KINDS[kind], raws, [us(RECEIVED)] * len(raws)), len(raws)) == alone


@modest
@given(st.data())
def test_instants_of_many_are_those_of_each(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(INSTANTS.flatmap(instants_written), min_size=1, max_size=8))
    texts = [one + data.draw(st.sampled_from([""] * 9 + ["Z", " ", "0"])) for one in drawn]
    at_us, sure = parse_instants(pa.array([*texts, None]))
    assert (at_us[-1], sure[-1]) == (NEVER, True)
    for written, one_us, one_sure in zip(texts, at_us.tolist(), sure.tolist(), strict=False):
        try:
            assert not one_sure or one_us == to_us(Instant.parse(written)), written
        except ValueError:
            assert not one_sure, written


INSTANTS_SAID = [
    # written                               | the instant
    ("2026-02-03T00:00:30Z",                  "2026-02-03T00:00:30+00:00"),
    ("2026-02-03t00:00:30z",                  "2026-02-03T00:00:30+00:00"),
    ("2026-02-03T02:00:30+02:00",             "2026-02-03T00:00:30+00:00"),
    ("2026-02-03T00:00:30.9999999Z",          "2026-02-03T00:00:30.999999+00:00"),
    ("2026-10-31T23:59:59.9999999Z",          "2026-10-31T23:59:59.999999+00:00"),
    ("2026-12-31T23:59:60Z",                  "2027-01-01T00:00:00+00:00"),
    ("2026-12-31T23:59:60.25Z",               "2027-01-01T00:00:00.250000+00:00"),
    ("2026-02-30T00:00:00Z",                  None),
    ("2026-02-03T24:00:00Z",                  None),
    ("2026-02-03T00:00Z",                     None),
    ("2026-02-03T00:00:30",                   None),
    ("2026-02-03T00:00:30+24:00",             None),
    ("2026-02-03T00:00:30.Z",                 None),
]  # fmt: skip


@pytest.mark.parametrize(("written", "instant"), INSTANTS_SAID)
def test_decimals_beyond_the_sixth_are_dropped_and_a_leap_second_is_the_next(
    written: str, instant: str | None
) -> None:
    said = decode(KINDS["text"], json.dumps(text(sent_at=written)).encode(), us(RECEIVED))
    usage = usage_of(said) if isinstance(said, Event) else None
    assert (usage.at_us if usage else None) == (us(instant) if instant else None)


# ------------------------------------------------------------------ what is made by column


@modest
@given(
    st.lists(
        st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**63 - 1),
                  st.integers(0, 2**46 - 1), st.integers(0, RANK_MOST)),
        min_size=1,
    )
)  # fmt: skip
def test_versions_of_many_places_are_those_of_each(
    drawn: list[tuple[int, int, int, int]],
) -> None:
    partitions, offsets, logged_ms, ranks = map(np.array, zip(*drawn, strict=True))
    made = Places("t", partitions, offsets, logged_ms).versions(ranks)
    for (partition, offset, at_ms, rank), pair in zip(drawn, made, strict=True):
        place = Place("t", partition, offset, at_ms)
        version = int.from_bytes(pair.tobytes(), "little")
        assert version == place.version(rank)
        assert place_of_version("t", version) == place


@st.composite
def timed_prices(draw: st.DrawFn) -> Price:
    return a_price(
        start=draw(st.sampled_from(["dial", "answer"])),
        fraction=draw(st.sampled_from(["drop", "up"])),
    )


@modest
@given(timed_prices(), st.lists(calls(), min_size=1, max_size=8))
def test_seconds_of_many_are_those_of_each(price: Price, drawn: list[dict[str, Any]]) -> None:
    many = columns_of("call", drawn)
    usages = [usage for event in drawn if (usage := usage_of(decoded(event)))]
    made = price.raw_seconds_of(many.at_us, many.answered_us, many.ended_us)
    assert made.tolist() == [price.raw_seconds(usage) for usage in usages]


def test_an_instant_keeps_its_microseconds_in_whatever_zone_it_was_written() -> None:
    usage = columns_of("text", [text(sent_at="2026-02-03T09:15:00.123457-05:00")])
    assert usage.at_us.tolist() == [us("2026-02-03T14:15:00.123457Z")]
