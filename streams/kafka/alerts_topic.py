"""What is told of budgets on its topic, keyed by account."""

import asyncio
from collections.abc import Sequence

from streams.base.settings import Settings
from streams.kafka.clients import BrokerErrors, make_producer
from streams.kafka.topics import ALERTS
from streams.rows.alert import AlertEvent, Answer, encode_alert

SEND_S = 15.0


async def send_alerts(settings: Settings, events: Sequence[AlertEvent]) -> list[Answer]:
    """Sends alerts, and says of each whether the log has it. They are few, so a producer is made
    for them and ends with them."""
    topic = settings.topic(ALERTS)
    try:
        async with asyncio.timeout(SEND_S):
            producer = make_producer(settings)
            try:
                await producer.start()
                results = await asyncio.gather(
                    *(
                        producer.send_and_wait(
                            topic, encode_alert(event), key=event.account_id.encode()
                        )
                        for event in events
                    ),
                    return_exceptions=True,
                )
            finally:
                await producer.stop()
    except (TimeoutError, *BrokerErrors) as error:
        return [Answer(False, _why(error))] * len(events)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, BrokerErrors):
            raise result
    return [
        Answer(False, _why(result)) if isinstance(result, BaseException) else Answer(True, "")
        for result in results
    ]


def _why(error: BaseException) -> str:
    return f"the broker did not take it: {type(error).__name__}"
