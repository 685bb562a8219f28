"""A webhook: what is told is posted, signed by the rules of Standard Webhooks, to one address.

Headers `webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, which is `v1,` and
the base64 of HMAC-SHA256 over `id.timestamp.body`. A receiver checks it by any library for these,
and drops an id that it has. Nobody is led elsewhere: no redirect is followed, and an address that
is no public one is not connected to, whatever name leads there.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from streams.base.settings import Settings, SettingsError, is_loopback, read_secret
from streams.rows.alert import AlertEvent, Answer, encode_alert

TIMEOUT_S = 10.0  # of one attempt: name, connection, answer
AT_ONCE = 8
SECRET_PREFIX = "whsec_"
SECRET_LEAST_BYTES = 24
_EMBEDDED = ipaddress.ip_network("64:ff9b::/96")  # of IPv4 addresses that a gateway leads to


class PrivateAddressError(OSError):
    """A name led to an address that is no public one."""


class Webhook:
    """Where alerts go to. Raises SettingsError for a secret that can't be one."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.alerts_url
        self._secret = secret_of(read_secret(settings.alerts_secret_file))
        host = urlsplit(self._url).hostname or ""
        # What was set is meant, as far as loopback goes; beyond it a setting has to say so.
        self._anywhere = settings.alerts_private or is_loopback(host)
        self._literal = _is_address(host)

    async def send(self, events: Sequence[AlertEvent]) -> list[Answer]:
        """Posts each; says of each whether it was taken, which is any status 2xx."""
        turns = asyncio.Semaphore(AT_ONCE)
        resolver = ThreadedResolver() if self._anywhere else PublicResolver()
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            return await asyncio.gather(*(self._post(session, turns, one) for one in events))

    async def _post(
        self, session: aiohttp.ClientSession, turns: asyncio.Semaphore, event: AlertEvent
    ) -> Answer:
        if self._literal and not self._anywhere and not is_public(urlsplit(self._url).hostname):
            return Answer(False, "refused: it is a private address")
        body, now_s = encode_alert(event), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": sign(self._secret, event.id, now_s, body),
        }
        try:
            async with (
                turns,
                session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                return Answer(200 <= answer.status < 300, f"HTTP {answer.status}")
        except TimeoutError:
            return Answer(False, f"no answer within {TIMEOUT_S:g} s")
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateAddressError):
                return Answer(False, "refused: the name leads to a private address")
            return Answer(False, "can't be connected to")
        except (aiohttp.ClientError, ValueError) as error:
            return Answer(False, type(error).__name__)


class PublicResolver(ThreadedResolver):
    """Names to public addresses alone: what is looked up is what is connected to."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        public = [one for one in found if is_public(one["host"])]
        if not public:
            raise PrivateAddressError("a private address")
        return public


def is_public(host: str | None) -> bool:
    """Whether an address is one of the open net, and none that stands for another one."""
    address = ipaddress.ip_address((host or "").partition("%")[0])
    if address.version == 6:
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _EMBEDDED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast


def sign(secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The header `webhook-signature`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def secret_of(text: str) -> bytes:
    """The key of a secret's text: base64 after `whsec_`. Raises SettingsError for what is none."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(SECRET_PREFIX) or len(key) < SECRET_LEAST_BYTES:
        raise SettingsError(
            f"RATER_ALERTS_SECRET_FILE: no {SECRET_PREFIX} and base64 of {SECRET_LEAST_BYTES} bytes"
            f' or more; make one: echo "{SECRET_PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
