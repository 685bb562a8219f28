"""Whose recurring charges may have changed: what the writer tells to who makes the months."""

from collections.abc import Iterator
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

NAMES_TOGETHER = 1_000  # of things, and of accounts; a server takes 128 KiB of a parameter

Thing = tuple[str, str]  # an account, and what the thing is billed as


class Changed(NamedTuple):
    """Whose monthly charges may have changed: some things, and all things of some accounts."""

    things: set[Thing]
    accounts: set[str]

    def merge(self, other: "Changed") -> None:
        self.things.update(other.things)
        self.accounts.update(other.accounts)

    def has(self, thing: Thing) -> bool:
        return thing in self.things or thing[0] in self.accounts

    def parameters(self) -> dict[str, list[str] | str]:
        """As a query takes them. Hashes are written down here: a client takes 10 us for each."""
        hashes = {xxh3_64_intdigest(name.encode()) for _, name in self.things}
        return {
            "owners": sorted({account for account, _ in self.things}),
            "things": f"[{','.join(map(str, sorted(hashes)))}]",
            "accounts": sorted(self.accounts),
        }

    def in_parts(self) -> Iterator["Changed"]:
        """The same in parts whose names fit in a query."""
        things, accounts = sorted(self.things), sorted(self.accounts)
        for first in range(0, max(len(things), len(accounts)), NAMES_TOGETHER):
            part = slice(first, first + NAMES_TOGETHER)
            yield Changed(set(things[part]), set(accounts[part]))
