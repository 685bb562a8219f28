"""Why an event costs what it does, or why it has no price: the same words for API and terminal."""

from typing import Any

from rater.charge import charge_to_json, format_us
from rater.instants import to_us
from rater.sentences import charge_said, outcome_said, taxes_said
from streams.store.events import EventRow, Outcome, read_event, read_outcomes
from streams.store.ledger import Ledger


def explain_event(ledger: Ledger, account_id: str, event_id: str) -> dict[str, Any] | None:
    """Each charge of an event with its sentence, and where it waits for a price or was refused.

    None where the account has no such event. Raises one of StoreErrors.
    """
    rows = read_event(ledger, account_id, event_id)
    outcomes = read_outcomes(ledger, account_id, event_id)
    if not rows and not outcomes:
        return None
    return {
        "account_id": account_id,
        "event_id": event_id,
        "rows": [
            row_to_json(row)
            | {"sentence": as_sentence(charge_said(row.charge)), "taxes": taxes_said(row.charge)}
            for row in rows
        ],
        "outcomes": [_outcome_to_json(one) for one in outcomes],
    }


def why_unknown(event_id: str) -> str:
    return f"no event {event_id!r} of this account is known; it may not have been rated yet"


def row_to_json(row: EventRow) -> dict[str, Any]:
    """A rated row, and where in the log its record lies. Source: docs/conventions.md."""
    return charge_to_json(row.charge) | {
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
        "logged_at": format_us(to_us(row.logged_at)),
    }


def _outcome_to_json(one: Outcome) -> dict[str, Any]:
    return {
        "outcome": one.what,
        "kind": one.kind,
        "reason": one.reason,
        "sentence": outcome_said(one.what, one.reason, one.message),
        "since": format_us(to_us(one.since)),
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
    }


def as_sentence(said: str) -> str:
    """The same words, begun with a capital."""
    return said[:1].upper() + said[1:]
