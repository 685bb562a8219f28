"""Each page's view: what it asks of the ledger, and how that is rendered. The page and its live
stream come from the same function.
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from streams.web.frame import Frame, tab_of
from streams.web.freshness import told_of
from streams.web.history import Histories
from streams.web.live import Told, Watched
from streams.web.numbers import shown_rate
from streams.web.overview_view import overview_view
from streams.web.reads import Reads
from streams.web.render import View
from streams.web.usage_view import usage_view

# What no stream is woken for: it comes with the next heartbeat.
QUIET = frozenset({"as-of"})


class Asked(NamedTuple):
    """What a reader asked to see: `month` is None for the account's current one."""

    account: str
    page: str
    month: date | None
    tab: str = ""
    exact: bool = False

    def query(self) -> Mapping[str, str]:
        """As an address has it."""
        month = f"{self.month:%Y-%m}" if self.month else ""
        return {"month": month, "tab": self.tab, "exact": "1" if self.exact else ""}


class Views:
    """The views of all pages. Each method blocks and reads the ledger: it runs off the loop."""

    def __init__(self, reads: Reads, histories: Histories, *, can_sign_out: bool) -> None:
        self._reads = reads
        self._histories = histories
        self._can_sign_out = can_sign_out

    def frame(self, asked: Asked) -> Frame:
        return Frame(asked.account, asked.page, asked.query().get("month", ""), self._can_sign_out)

    async def view(self, asked: Asked) -> View:
        """The view of a page. Raises NoStatementError, StoreDownError, BusyError."""
        make = {"overview": self._overview, "usage": self._usage}[asked.page]
        return await self._reads.off_loop(asked.account, make, asked)

    def watched(self, asked: Asked, shape: str) -> Watched[View]:
        """The view as a stream. `shape` is that of the view which the reader has."""

        def tell(before: View | None, after: View) -> Told | None:
            return tell_view(before, after, shape)

        return Watched(
            asked.account,
            (asked, shape),
            lambda: self.view(asked),
            tell,
            lambda view: view.leaves["as-of"],
        )

    def _overview(self, asked: Asked) -> View:
        statement = self._reads.read_live_statement(asked.account, asked.month)
        month = date.fromisoformat(statement["month"] + "-01")
        history = self._histories.read(
            asked.account, month, statement["zone"], statement["currency"]
        )
        return overview_view(
            statement,
            history.days,
            today=history.today,
            comparison=history.comparison,
            foretold=history.foretold,
            attention=(),
            frame=self.frame(asked),
            months={*self._reads.read_months(asked.account), month},
            told=told_of(statement, shown_rate(statement["events_per_second"])),
        )

    def _usage(self, asked: Asked) -> View:
        statement = self._reads.read_live_statement(asked.account, asked.month)
        month = date.fromisoformat(statement["month"] + "-01")
        return usage_view(
            statement,
            self._reads.read_month_before(asked.account, month),
            frame=self.frame(asked),
            months={*self._reads.read_months(asked.account), month},
            tab=tab_of(asked.tab),
            exact=asked.exact,
            told=told_of(statement, shown_rate(statement["events_per_second"])),
        )


def shape_of(view: View) -> str:
    """A short name of all of a view but its leaves."""
    return hashlib.blake2b(view.skeleton.encode(), digest_size=8).hexdigest()


def tell_view(before: View | None, after: View, shape: str) -> Told | None:
    """What brings a reader's page up to date: leaves by their ids, or all of it.

    A reader that has just come has the page as it was rendered, in a shape that it names: leaves
    are enough while that is the shape now.
    """
    if before is None:
        same = shape == shape_of(after)
        changed = dict(after.leaves) if same else None
    else:
        changed = after.changed_from(before)
    if changed is None:
        return Told("whole", {"html": after.html()})
    return Told("leaves", changed) if changed.keys() - QUIET else None
