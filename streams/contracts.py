"""The contracts with producers, generated from the structs: JSON Schemas and an AsyncAPI document.

`python -m streams.contracts` (or `make schemas`) writes them into `schemas/`.
"""

from pathlib import Path
from typing import Any

import msgspec
import orjson

import schemas
from rater import __version__
from rater.events import KINDS, Kind
from streams.pipeline import RAW_KEPT_BYTES
from streams.topics import REJECTED

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def event_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of a kind's events."""
    (schema,), components = msgspec.json.schema_components([kind.struct])
    name = schema["$ref"].rsplit("/", 1)[-1]
    body = components.pop(name)
    assert not components, f"{kind.name} refers to other types"
    return {"$schema": DIALECT, "$id": f"rater:{kind.name}", **body}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: each input topic, its message, and the dead letters."""
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
    messages["rejected"] = {
        "name": "rejected",
        "title": "A record that is no event, with its origin and the reason in the headers.",
        "payload": {
            "description": f"The first {RAW_KEPT_BYTES} bytes of the record's value, unchanged."
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
    channels["rejected"] = {
        "address": REJECTED,
        "messages": {"rejected": {"$ref": "#/components/messages/rejected"}},
    }
    operations["reject"] = {"action": "send", "channel": {"$ref": "#/channels/rejected"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rater",
            "version": __version__,
            "description": "Usage events in, dead letters out. Keys are account ids; CloudEvents "
            "headers in binary mode are accepted and not required.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def contracts() -> dict[Path, bytes]:
    """Every generated file and what it holds."""
    documents = {
        schemas.EVENTS / f"{kind.name}.json": event_schema(kind) for kind in KINDS.values()
    }
    documents[schemas.ASYNCAPI] = asyncapi()
    return {
        path: orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        for path, document in documents.items()
    }


if __name__ == "__main__":
    for path, content in contracts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        print(path)
