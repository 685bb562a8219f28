"""Sessions: what a browser holds in the token's place, and failed attempts by address.

Both are kept in the process and bounded: a session ends with it, after `SESSION_S`, when its reader
signs out, and when its token is revoked. Time is an argument, in seconds of a steady clock.
"""

import secrets
from collections import OrderedDict
from ipaddress import ip_address

from streams.web.tokens import Known, Tokens, hash_of

SESSION_S = 12 * 3600
SESSIONS_MOST = 10_000  # the oldest goes first
FAILURES_MOST = 10  # of one address within
FAILURES_S = 60
ADDRESSES_MOST = 10_000


class Sessions:
    """The open sessions, by the hash of what the cookie holds."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._open: OrderedDict[str, tuple[Known, float]] = OrderedDict()

    def begin(self, known: Known, now_s: float) -> str:
        """A new session of a token; the secret for the cookie."""
        secret = secrets.token_urlsafe(32)
        self._open[hash_of(secret)] = known, now_s + SESSION_S
        if len(self._open) > SESSIONS_MOST:
            self._open.popitem(last=False)
        return secret

    def find(self, secret: str, now_s: float) -> Known | None:
        """The token of a session, if the session is open and the token stands."""
        known, ends_s = self._open.get(hash_of(secret), (None, 0.0))
        if known is None:
            return None
        if now_s < ends_s and self._tokens.stands(known):
            return known
        self.end(secret)
        return None

    def end(self, secret: str) -> None:
        self._open.pop(hash_of(secret), None)


class Attempts:
    """Failed attempts of each address: FAILURES_MOST in FAILURES_S, then none until that is over.

    10.1.2.3 is an address, and so is a whole /64 of IPv6, which is one subscriber's.
    """

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> int:
        """Whole seconds until the address may try again; 0 is now."""
        count, ends_s = self._failed.get(_subscriber(address), (0, 0.0))
        return int(ends_s - now_s) + 1 if count >= FAILURES_MOST and now_s < ends_s else 0

    def fail(self, address: str, now_s: float) -> int:
        """Notes a failed attempt; how many there are of the address by now."""
        key = _subscriber(address)
        count, ends_s = self._failed.pop(key, (0, 0.0))
        if now_s >= ends_s:
            count, ends_s = 0, now_s + FAILURES_S
        self._failed[key] = count + 1, ends_s
        if len(self._failed) > ADDRESSES_MOST:
            self._failed.popitem(last=False)
        return count + 1


def _subscriber(address: str) -> str:
    try:
        known = ip_address(address)
    except ValueError:
        return address
    return known.exploded[:19] if known.version == 6 else address
