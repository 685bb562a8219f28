"""The ledger in parts: by the log's clock, for what was recently written, and by its accounts, for
what looks at everything and may be stopped between two.

All that one question joins is one account's. An account is never cut: a part is as large as the
largest account at least, and groups beyond memory go to disk.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from streams.store.ledger import Ledger

PART_RECORDS = 1_000_000

# Each account in turn, by the tables' order: nothing is read beyond the part.
_LAST = """
SELECT account_id FROM accepted WHERE account_id > {after:String}
ORDER BY account_id LIMIT 1 OFFSET {records:UInt64}
"""

IS_OF = "account_id > {after:String} AND ({last:String} = '' OR account_id <= {last:String})"


# Of a part of the log, by the versions of rows: the milliseconds in them count down, and an index
# of this expression says where they are. A recurring charge has none of the log's.
AT = "bitShiftRight(bitShiftLeft(version, 2), 82) BETWEEN {low:UInt64} AND {high:UInt64}"
# The same where the broker's clock is kept; a recurring charge has that of its telling.
LOGGED = """logged_at BETWEEN fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC')
    AND fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')"""


class Accounts(NamedTuple):
    """The accounts after one name, up to another and with it; without end where that is empty."""

    after: str = ""
    last: str = ""

    def parameters(self) -> Mapping[str, Any]:
        return self._asdict()


ALL_ACCOUNTS = Accounts()


def next_accounts(ledger: Ledger, after: str, records: int = PART_RECORDS) -> Accounts:
    """The accounts after one, of about so many accepted records; the last part has no end.

    Raises one of StoreErrors.
    """
    found = ledger.search(_LAST, {"after": after, "records": records})
    return Accounts(after, found[0][0] if found else "")


def each_part(ledger: Ledger, records: int = PART_RECORDS) -> Iterator[Accounts]:
    """All accounts, part by part. Raises one of StoreErrors."""
    part = next_accounts(ledger, "", records)
    yield part
    while part.last:
        part = next_accounts(ledger, part.last, records)
        yield part
