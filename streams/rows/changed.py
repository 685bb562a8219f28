"""Whose recurring charges may have changed, for who makes the months."""

from collections.abc import Iterator
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

PART_BYTES = 65_536  # of names, escaped; a server takes 128 KiB of a parameter
_HASH_BYTES = 21  # a thing's name is told by its hash

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
        part, size = Changed(set(), set()), 0
        names: list[tuple[str, Thing | None]] = [(thing[0], thing) for thing in sorted(self.things)]
        names += [(account, None) for account in sorted(self.accounts)]
        for account, thing in names:
            added = escaped_bytes(account) + _HASH_BYTES
            if size and size + added > PART_BYTES:
                yield part
                part, size = Changed(set(), set()), 0
            if thing is None:
                part.accounts.add(account)
            else:
                part.things.add(thing)
            size += added
        if size:
            yield part


def escaped_bytes(name: str) -> int:
    """At the most, with its quotes and the comma after it."""
    return 2 * len(name.encode()) + 3
