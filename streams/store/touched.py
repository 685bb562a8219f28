"""Which accounts' months have news: asked once for all who watch, by what was logged recently.

An index finds recent rows by the broker's clock, so the question costs what is new and not what
there is.
"""

from datetime import date, datetime

from streams.store.ledger import Ledger

_TOUCHED = """
SELECT account_id, month, count() FROM rated
WHERE logged_at >= {since:DateTime64(3, 'UTC')}
GROUP BY account_id, month
"""


def read_touched(ledger: Ledger, since: datetime) -> dict[tuple[str, date], int]:
    """How many rows of each (account, month) were logged since an instant, copies included.

    Raises one of StoreErrors.
    """
    rows = ledger.query(_TOUCHED, {"since": since})
    return {(account, month): count for account, month, count in rows}
