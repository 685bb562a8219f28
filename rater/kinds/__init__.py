"""The kinds of usage events: a file a kind, and the registry of all.

A new kind is one file that declares it and one entry in KINDS.
"""

from rater.kinds.amd import AMD
from rater.kinds.call import CALL
from rater.kinds.campaign import CAMPAIGN
from rater.kinds.dial import DIAL
from rater.kinds.event import Event
from rater.kinds.kind import Kind
from rater.kinds.number import NUMBER
from rater.kinds.recording import RECORDING
from rater.kinds.subscription import SUBSCRIPTION
from rater.kinds.text import TEXT

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (CALL, TEXT, DIAL, AMD, RECORDING, NUMBER, SUBSCRIPTION, CAMPAIGN)
}


def kind_of(event: Event) -> Kind:
    """The declaration of an event's kind."""
    return KINDS[event.kind]
