"""The contracts in schemas/: generated, not stale, and true of what the decoder takes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

import schemas
from rater.decode import decode
from rater.instants import to_us
from rater.kinds import KINDS
from rater.rate import rate
from rater.reject import Reject
from rater.tariff_file import load_book
from streams.kafka.contracts import contracts
from streams.kafka.simulate import Simulator
from streams.kafka.topics import ALERTS, INPUTS, REJECTED, TOPIC_CONFIG, config_of
from tests.conftest import LOGGED_MS, SAMPLES, Event

NOW = datetime(2026, 8, 10, 15, tzinfo=UTC)
GENERATED = contracts()


def schema_of(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((schemas.EVENTS / f"{kind}.json").read_bytes())
    return found


@pytest.mark.parametrize("path", sorted(GENERATED), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_bytes() == GENERATED[path], "stale: run `make schemas`"


def test_there_is_no_file_that_is_not_generated() -> None:
    assert {*schemas.EVENTS.iterdir(), schemas.ASYNCAPI} <= set(GENERATED)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_schema_is_a_json_schema(kind: str) -> None:
    Draft202012Validator.check_schema(schema_of(kind))


def test_every_simulated_event_is_valid_by_its_schema() -> None:
    validators = {kind: Draft202012Validator(schema_of(kind)) for kind in KINDS}
    simulator = Simulator(seed=11)
    simulated = list(simulator.opening())
    for n in range(1_500):
        simulated += simulator.happen(NOW + timedelta(seconds=n))
    assert {event.kind for event in simulated} == set(KINDS)
    for event in simulated:
        validators[event.kind].validate(orjson.loads(event.value))


CHANGES: list[tuple[str, dict[str, Any], bool]] = [
    # kind, what differs from a good event, and whether it is an event still
    ("call",          {"unknown": 1},                     True),
    ("call",          {"answered_at": None},              True),
    ("call",          {"media": "video"},                 True),
    ("call",          {"from": "anonymous"},              True),
    ("call",          {"to": "client:bob"},               True),
    ("call",          {"revision": 3},                    True),
    ("call",          {"revision": -1},                   False),
    ("call",          {"revision": "3"},                  False),
    ("call",          {"revision": 2**31},                False),
    ("call",          {"id": ""},                         False),
    ("call",          {"id": "x" * 257},                  False),
    ("call",          {"account_id": None},               False),
    ("call",          {"kind": "dial"},                   False),
    ("call",          {"media": "fax"},                   False),
    ("call",          {"to": "12125550100x"},             False),
    ("call",          {"to": "+0"},                       False),
    ("call",          {"status": "ringing"},              False),
    ("call",          {"ended_at": 1786363261},           False),
    ("dial",          {"campaign_id": ""},                False),
    ("text",          {"registered": "yes"},              False),
    ("text",          {"segments": 0},                    False),
    ("text",          {"segments": 65_536},               False),
    ("text",          {"segments": None, "body": "x"},    True),
    ("amd",           {"verdict": "robot"},               True),
    ("amd",           {"verdict": 7},                     False),
    ("recording",     {"duration_s": -1},                 False),
    ("recording",     {"duration_s": 1.5},                False),
    ("recording",     {"duration_s": 86_401},             False),
    ("number",        {"number": "anonymous"},            False),
    ("number",        {"number_type": "mobile"},          False),
    ("subscription",  {"product": ""},                    False),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "good"), CHANGES)
def test_schema_and_decoder_say_the_same_of_an_event(kind: str, change: Event, good: bool) -> None:
    event = SAMPLES[kind](**change)
    decoded = decode(KINDS[kind], orjson.dumps(event), LOGGED_MS * 1000)
    assert isinstance(decoded, Reject) is not good
    assert Draft202012Validator(schema_of(kind)).is_valid(event) is good


REQUIRED = [(kind, name) for kind in sorted(KINDS) for name in schema_of(kind)["required"]]


@pytest.mark.parametrize(("kind", "name"), REQUIRED)
def test_an_event_without_a_required_field_is_none_by_both(kind: str, name: str) -> None:
    event = SAMPLES[kind]()
    del event[name]
    assert isinstance(decode(KINDS[kind], orjson.dumps(event), to_us(NOW)), Reject)
    assert not Draft202012Validator(schema_of(kind)).is_valid(event)


# ------------------------------------------------------------------ AsyncAPI


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(schemas.ASYNCAPI.read_bytes())
    return document


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def resolve(document: dict[str, Any], ref: str) -> Any:
    """What a reference names: a place in the document, or a file beside it."""
    file, _, pointer = ref.partition("#")
    node: Any = json.loads((schemas.ROOT / file).read_bytes()) if file else document
    for name in pointer.split("/")[1:]:
        node = node[name]
    return node


def test_every_reference_resolves(asyncapi: dict[str, Any]) -> None:
    found = list(refs(asyncapi))
    assert len(found) >= 3 * len(KINDS)
    for ref in found:
        assert resolve(asyncapi, ref)


def test_every_topic_is_a_channel_with_its_kinds_schema(asyncapi: dict[str, Any]) -> None:
    assert asyncapi["asyncapi"].startswith("3.")
    by_address = {channel["address"]: name for name, channel in asyncapi["channels"].items()}
    assert set(by_address) == {*INPUTS, REJECTED, ALERTS}
    for kind in KINDS.values():
        (message,) = asyncapi["channels"][by_address[kind.topic]]["messages"].values()
        payload = resolve(asyncapi, message["$ref"])["payload"]
        assert resolve(asyncapi, payload["$ref"]) == schema_of(kind.name)


def test_events_come_in_and_dead_letters_and_alerts_go_out(asyncapi: dict[str, Any]) -> None:
    ways = {
        resolve(asyncapi, operation["channel"]["$ref"])["address"]: operation["action"]
        for operation in asyncapi["operations"].values()
    }
    assert ways == dict.fromkeys(INPUTS, "receive") | {REJECTED: "send", ALERTS: "send"}


def test_the_logs_own_clock_stamps_the_records() -> None:
    assert TOPIC_CONFIG["message.timestamp.type"] == "LogAppendTime"
    assert [config_of(count).get("min.insync.replicas") for count in (1, 2, 3)] == [None, None, "2"]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_an_example_that_its_schema_and_the_rater_take(name: str) -> None:
    raw = (schemas.EXAMPLES / f"{name}.json").read_bytes()
    event = decode(KINDS[name], raw, to_us(datetime(2026, 11, 30, tzinfo=UTC)))
    assert isinstance(event, KINDS[name].struct)
    Draft202012Validator(schema_of(name)).validate(json.loads(raw))
    rated = rate(event, load_book(schemas.SAMPLE_TARIFF))
    assert isinstance(rated, list)
    lines = [charge.terms.line for charge in rated]
    usage = KINDS[name].usage
    assert lines == [] if usage is None else lines in map(list, usage.line_names())
