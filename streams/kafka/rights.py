"""What a Kafka user may do, where the broker has access lists (ACLs): what its job needs, by name.

A broker that denies what no list allows, as Kafka's StandardAuthorizer does, then refuses all else.
"""

from enum import IntEnum
from typing import Literal, NamedTuple

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest

from streams.base.settings import Settings
from streams.kafka.clients import admin_client
from streams.kafka.topics import ALERTS, INPUTS, REJECTED

# A worker reads the inputs in its group, writes dead letters and alerts, and may reconcile; a
# producer sends events, and dead letters again.
Job = Literal["worker", "producer"]


class _Of(IntEnum):
    """Kinds of resources, as Kafka's protocol numbers them."""

    TOPIC = 2
    GROUP = 3


class _To(IntEnum):
    """Operations, as Kafka's protocol numbers them. READ and WRITE include DESCRIBE."""

    READ = 3
    WRITE = 4
    DESCRIBE_CONFIGS = 10


class Right(NamedTuple):
    """One operation on one resource, named in full."""

    of: _Of
    name: str
    to: _To


_LITERAL, _ALLOW = 3, 3  # a whole name, not a prefix; as Kafka's protocol numbers them


def rights_of(job: Job, settings: Settings) -> list[Right]:
    """All that the job needs. A worker asks for a topic's timestamp type at its start."""
    inputs = [settings.topic(name) for name in INPUTS]
    if job == "producer":
        return [Right(_Of.TOPIC, name, _To.WRITE) for name in inputs]
    return [
        *(Right(_Of.TOPIC, name, to) for name in inputs for to in (_To.READ, _To.DESCRIBE_CONFIGS)),
        Right(_Of.GROUP, settings.group, _To.READ),
        *(Right(_Of.TOPIC, settings.topic(name), _To.WRITE) for name in (REJECTED, ALERTS)),
    ]


async def grant(settings: Settings, user: str, job: Job) -> list[Right]:
    """Gives a user the rights of a job, from any address; returns them. Takes none away.

    Raises one of BrokerErrors, as where the one who asks may not give rights.
    """
    rights = rights_of(job, settings)
    async with admin_client(settings) as admin:
        for right in rights:
            # aiokafka knows the request and has no function for it.
            answer = await admin._send_request(
                CreateAclsRequest(
                    right.of, right.name, _LITERAL, f"User:{user}", "*", right.to, _ALLOW
                )
            )
            ((code, message),) = answer.creation_responses
            if code:
                raise for_code(code)(message)
    return rights
