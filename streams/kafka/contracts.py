"""What is generated: JSON Schemas and an AsyncAPI document from the structs, area codes from data.

`make schemas` writes them; a test says when they are stale.
"""

from pathlib import Path
from typing import Any

import msgspec
import orjson

import rater
import schemas
from rater import __version__
from rater.instants import Instant
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from streams.kafka.topics import ALERTS, REJECTED
from streams.rows.alert import AlertEvent
from streams.rows.kept import KEPT_BYTES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def event_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of a kind's events."""
    (schema,), components = msgspec.json.schema_components([kind.struct], schema_hook=_schema_of)
    name = schema["$ref"].rsplit("/", 1)[-1]
    body = components.pop(name)
    assert not components, f"{kind.name} refers to other types"
    return {"$schema": DIALECT, "$id": f"rater:{kind.name}", **body}


def _schema_of(hint: type) -> dict[str, Any]:
    if hint is Instant:
        return {"type": "string", "format": "date-time"}
    raise NotImplementedError(f"no field of an event is a {hint.__name__}")


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: each input topic, its message, dead letters, alerts."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for kind in KINDS.values():
        messages[kind.name] = {
            "name": kind.name,
            "title": (kind.struct.__doc__ or "").splitlines()[0],
            "contentType": "application/json",
            "payload": {"$ref": f"events/{kind.name}.json"},
            "bindings": {"kafka": {"key": {"type": "string", "description": "account_id"}}},
        }
        channels[kind.name] = {
            "address": kind.topic,
            "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"}},
        }
        operations[f"rate_{kind.name}"] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{kind.name}"},
        }
    for name, action, topic, message in (
        ("rejected", "reject", REJECTED, _rejected()),
        ("alert", "alert", ALERTS, _alert()),
    ):
        messages[name] = message
        channels[name] = {
            "address": topic,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        operations[action] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rater",
            "version": __version__,
            "description": "Usage events in; dead letters, and alerts of budgets, out. Keys are "
            "account ids; CloudEvents headers in binary mode are accepted and not required.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _rejected() -> dict[str, Any]:
    return {
        "name": "rejected",
        "title": "A record that is no event, with its origin and the reason in the headers.",
        "payload": {
            "description": f"The first {KEPT_BYTES} bytes of the record's value; no text's body."
        },
        "headers": {
            "type": "object",
            "properties": {
                f"rater_{name}": {"type": "string"}
                for name in (
                    "origin_topic", "origin_partition", "origin_offset", "origin_timestamp_ms",
                    "reason", "message", "value_bytes", "value_hash", "engine_version",
                )
            },
        },
    }  # fmt: skip


def _alert() -> dict[str, Any]:
    _, structs = msgspec.json.schema_components([AlertEvent])
    return {
        "name": "alert",
        "title": (AlertEvent.__doc__ or "").splitlines()[0],
        "contentType": "application/json",
        "payload": structs["AlertEvent"],
        "bindings": {"kafka": {"key": {"type": "string", "description": "account_id"}}},
    }


_US_STATES = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA",
    "Colorado": "CO", "Connecticut": "CT", "Delaware": "DE", "Florida": "FL", "Georgia": "GA",
    "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL", "Indiana": "IN", "Iowa": "IA",
    "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA", "Maine": "ME", "Maryland": "MD",
    "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN", "Mississippi": "MS",
    "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH",
    "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY", "North Carolina": "NC",
    "North Dakota": "ND", "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA",
    "Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN",
    "Texas": "TX", "Utah": "UT", "Vermont": "VT", "Virginia": "VA", "Washington State": "WA",
    "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY", "Washington D.C.": "DC",
}  # fmt: skip


def area_codes() -> bytes:
    """The module that says in which state an area code is, from the geocoding data of phonenumbers.

    Generated, because loading that data takes seconds and a hundred megabytes at every start.
    """
    import phonenumbers
    from phonenumbers import geocoder

    codes = set(_US_STATES.values())
    by_state: dict[str, list[str]] = {}
    for area_code in range(200, 1000):
        # 555-0100 is in no city's block, so the answer is the one for the whole area code.
        number = phonenumbers.PhoneNumber(
            country_code=1, national_number=int(f"{area_code}5550100")
        )
        place = geocoder.description_for_number(number, "en").rsplit(", ", 1)[-1]
        state = place if place in codes else _US_STATES.get(place)
        if state is not None:
            by_state.setdefault(state, []).append(str(area_code))
    table = [
        " ".join([state, *found[start : start + 20]])
        for state, found in sorted(by_state.items())
        for start in range(0, len(found), 20)
    ]
    return _AREA_CODES_MODULE.format(table="\n".join(table)).encode()


_AREA_CODES_MODULE = """\
\"\"\"The US state of each area code. Generated by `make schemas` from phonenumbers.\"\"\"

AREA_CODES = \"\"\"
{table}
\"\"\"

STATE_OF_AREA_CODE = {{
    code: state
    for state, *codes in map(str.split, AREA_CODES.strip().splitlines())
    for code in codes
}}
"""


def contracts() -> dict[Path, bytes]:
    """Every generated file and what it holds."""
    documents = {
        schemas.EVENTS / f"{kind.name}.json": event_schema(kind) for kind in KINDS.values()
    }
    documents[schemas.ASYNCAPI] = asyncapi()
    files = {
        path: orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        for path, document in documents.items()
    }
    return files | {Path(rater.__file__).with_name("area_codes.py"): area_codes()}


if __name__ == "__main__":
    for path, content in contracts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        print(path)
