"""Rating together gives what rating one by one gives: the same rows, receipts, and all else."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater import numbers
from rater.decode import decode, decode_all
from rater.events import KINDS, Call, Dial, Event
from rater.facts import NEVER, facts_of, states_of
from rater.price import Price
from rater.tariff import Memo
from streams.rows.batch import Batch, PartitionRecords, add_records, add_together
from streams.rows.log_position import Place, Places, place_of_version
from streams.store.ledger import _block_columns, _rated_columns
from tests.conftest import LOGGED_MS, Logged, text
from tests.rater.drawn import DrawnBook, books, calls, detections, texts
from tests.rater.make import (
    EVENTS,
    RECEIVED,
    SAMPLE,
    a_price,
    decoded,
    modest,
    read_drawn,
    us,
)  # fmt: skip

DRAWN = {"call": calls(), "dial": calls(kind="dial"), "text": texts(), "amd": detections()}
TOO_EARLY = "2009-03-01T00:00:00Z"  # before any tariff of the sample
ROOMS = [1, 4, 1_000]  # how much a book remembers


@st.composite
def values(draw: st.DrawFn, kind: str) -> bytes | None:
    """A record's value: mostly an event, sometimes one that must wait, or none at all."""
    event: dict[str, Any] = draw(DRAWN[kind])
    match draw(st.sampled_from(["good"] * 8 + ["early", "revised", "field", "reversed", "bytes"])):
        case "early":
            event |= {name: TOO_EARLY for name in event if name.endswith("_at") and event[name]}
        case "revised":
            event["revision"] = 1
        case "field":
            event[draw(st.sampled_from(sorted(event)))] = draw(st.sampled_from(["?", None, -1]))
        case "reversed":
            event["answered_at"] = "2024-12-24T00:00:00Z"
        case "bytes":
            return draw(st.sampled_from([None, b"", b"{", b"[]", b"\xff"]))
    return json.dumps(event).encode()


@st.composite
def stretches_of(draw: st.DrawFn, kind: str) -> list[PartitionRecords]:
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
    return {
        field.name: getattr(batch, field.name)
        for field in fields(batch)
        if field.name not in ("blocks", "rated")
    }


@pytest.mark.parametrize("kind", DRAWN)
@settings(modest, max_examples=40)
@given(data=st.data())
def test_rated_together_as_each_alone(kind: str, data: st.DataObject) -> None:
    made = data.draw(stretches_of(kind))
    topic, alone, together = KINDS[kind].topic, Batch(), Batch()
    SAMPLE.memo = Memo()
    for partition, records in made:
        add_records(alone, KINDS[kind], topic, partition, records, SAMPLE)
    SAMPLE.memo = Memo(data.draw(st.sampled_from(ROOMS)))
    for _ in range(2):  # by a book that has seen none of them, and by one that has
        together = Batch()
        add_together(together, KINDS[kind], topic, made, SAMPLE)
        assert rows_of(together) == rows_of(alone)
        assert all_else(together) == all_else(alone)


@pytest.mark.parametrize("kind", DRAWN)
@settings(modest, max_examples=12)
@given(drawn=books(), data=st.data())
def test_rated_together_as_each_alone_where_accounts_change(
    kind: str, drawn: DrawnBook, data: st.DataObject
) -> None:
    book, _ = read_drawn(drawn)
    events = data.draw(st.lists(DRAWN[kind], min_size=2, max_size=12))
    records = [
        Logged(n, LOGGED_MS + 10**11, None, json.dumps(e).encode()) for n, e in enumerate(events)
    ]
    topic, alone, together = KINDS[kind].topic, Batch(), Batch()
    add_records(alone, KINDS[kind], topic, 0, records, book)
    add_together(together, KINDS[kind], topic, [(0, records)], book)
    assert rows_of(together) == rows_of(alone)
    assert [len(block.facts.ids) for block in together.blocks] == [len(events)]
    assert all_else(together) == all_else(alone)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_well_events_are_rated_together_where_the_kind_is_not_monthly(kind: str) -> None:
    """Otherwise the property above would compare the plain way with itself."""
    event = json.dumps(EVENTS[kind]()).encode()
    stretches = [(0, [Logged(n, LOGGED_MS, None, event) for n in range(3)])]
    batch = Batch()
    add_together(batch, KINDS[kind], KINDS[kind].topic, stretches, SAMPLE)
    assert bool(batch.blocks) is not KINDS[kind].monthly
    assert batch.rated == []


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
    alone, together = Batch(), Batch()
    add_records(alone, KINDS["call"], "usage.call.v1", 0, records, SAMPLE)
    add_together(together, KINDS["call"], "usage.call.v1", [(0, records)], SAMPLE)
    assert rows_of(together) == rows_of(alone)
    assert [len(block.facts.ids) for block in together.blocks] == [len(alone.rated)]
    assert all_else(together) == all_else(alone)


def test_one_that_must_wait_leaves_the_others_together() -> None:
    good, revised = text(id="a"), text(id="b", revision=1)
    records = [Logged(n, LOGGED_MS, None, json.dumps(e).encode())
               for n, e in enumerate([good, revised, good])]  # fmt: skip
    batch = Batch()
    add_together(batch, KINDS["text"], "usage.text.v1", [(0, records)], SAMPLE)
    assert [len(block.facts.ids) for block in batch.blocks] == [2]
    assert [row.event_id for row in batch.parked] == ["b"]
    assert batch.receipts[0][2:] == (0, 2, 3, 2, 4, 0, 1, 0, 2 * 10_900_000)


# ------------------------------------------------------------------ facts


def events_of(kind: str, drawn: Sequence[dict[str, Any]]) -> list[Event]:
    return [decoded(event) for event in drawn]


@pytest.mark.parametrize("kind", DRAWN)
@settings(modest, max_examples=20)
@given(data=st.data())
def test_the_facts_of_many_are_what_each_says_of_itself(kind: str, data: st.DataObject) -> None:
    events = events_of(kind, data.draw(st.lists(DRAWN[kind], min_size=1, max_size=8)))
    facts = facts_of(KINDS[kind], events)
    for number, event in enumerate(events):
        usage = event.usage()
        assert usage is not None
        assert facts.ids[number].as_py() == event.id
        assert facts.identities[number].as_py() == event.identity()
        assert facts.at_us[number] == usage.at_us
        assert _us_or_none(facts.answered_us[number]) == usage.answered_us
        assert _us_or_none(facts.ended_us[number]) == usage.ended_us
        assert facts.dialed[number] == usage.dialed
        assert facts.segments[number] == usage.segments
        if isinstance(event, Call | Dial):
            assert states_of(int(facts.states[number])) == (usage.origin, usage.termination)
        columns = (
            facts.from_, facts.to, facts.group_ids, facts.campaign_ids, facts.call_ids,
        )  # fmt: skip
        assert tuple(column[number].as_py() for column in columns) == event.parties()


PARTIES = [
    "+14155550100", "+12125550100", "+18005550100", "+10125550100", "+1415555010", "+447911123456",
    "+44791112345", "+448001111111", "87121", "client:ann", "client:+1415", "sip:a@b.cde",
    "sips:é@b.cd", "anonymous",
]  # fmt: skip


@pytest.mark.parametrize("from_", PARTIES)
@pytest.mark.parametrize("to", PARTIES)
def test_forms_and_states_of_many_numbers_are_those_of_each(from_: str, to: str) -> None:
    """Whatever stands beside it: a form that another has makes no two alike."""
    made = [{"from": from_, "to": to}, {"from": to, "to": from_}, {"from": to, "to": to}]
    facts = facts_of(KINDS["text"], [decoded(text(**parties)) for parties in made])
    faces = [(numbers.face(one["from"]), numbers.face(one["to"])) for one in made]
    for state, (origin, termination) in zip(facts.states.tolist(), faces, strict=True):
        assert states_of(state) == (origin[1], termination[1])
    forms = [(origin[0], termination[0]) for origin, termination in faces]
    alike = facts.alike.tolist()
    assert [[one == other for other in alike] for one in alike] == [
        [one == other for other in forms] for one in forms
    ]


def _us_or_none(at_us: np.int64) -> int | None:
    return None if at_us == NEVER else int(at_us)


@pytest.mark.parametrize("kind", DRAWN)
@settings(modest, max_examples=20)
@given(data=st.data())
def test_facts_come_only_where_decode_takes_all_of_them(kind: str, data: st.DataObject) -> None:
    raws = data.draw(st.lists(values(kind), min_size=1, max_size=6))
    received_us = [us(RECEIVED)] * len(raws)
    alone = [decode(KINDS[kind], raw, us(RECEIVED)) for raw in raws]
    outcomes, facts = decode_all(KINDS[kind], raws, received_us)
    assert list(outcomes) == alone
    assert facts is None or facts.events == alone


# ------------------------------------------------------------------ what is made by column


@modest
@given(
    st.lists(
        st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**63 - 1),
                  st.integers(0, 2**46), st.booleans()),
        min_size=1,
    )
)  # fmt: skip
def test_versions_of_many_places_are_those_of_each(
    drawn: list[tuple[int, int, int, bool]],
) -> None:
    partitions, offsets, logged_ms, preferred = map(np.array, zip(*drawn, strict=True))
    made = Places("t", partitions, offsets, logged_ms).versions(preferred)
    for (partition, offset, at_ms, first), pair in zip(drawn, made, strict=True):
        place = Place("t", partition, offset, at_ms)
        version = int.from_bytes(pair.tobytes(), "little")
        assert version == place.version(preferred=first)
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
    events = events_of("call", drawn)
    facts = facts_of(KINDS["call"], events)
    usages = [usage for event in events if (usage := event.usage())]
    made = price.raw_seconds_of(facts.at_us, facts.answered_us, facts.ended_us)
    assert made.tolist() == [price.raw_seconds(usage) for usage in usages]


def test_an_instant_keeps_its_microseconds_in_whatever_zone_it_was_written() -> None:
    facts = facts_of(KINDS["text"], [decoded(text(sent_at="2026-02-03T09:15:00.123457-05:00"))])
    assert facts.at_us.tolist() == [us("2026-02-03T14:15:00.123457Z")]
