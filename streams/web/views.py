"""Each page's view: what it asks of the ledger, and how that is rendered. The page and its live
stream come from the same function.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from fastapi import HTTPException

from rater.budgets import What
from rater.months import previous_month
from rater.quote import QuoteError, read_list
from streams.operations.explain import why_unknown
from streams.store.alerts import read_reached
from streams.store.assets import (
    CampaignUse,
    read_campaigns,
    read_campaigns_of,
    read_numbers,
    read_recordings,
)
from streams.store.events import (
    Cursor,
    read_breakdowns,
    read_event,
    read_events,
    read_legs,
    read_outcomes,
    read_sum,
)
from streams.store.operators import read_accounts
from streams.store.statements import Key
from streams.web.accounts_view import PAGE_ACCOUNTS, accounts_view
from streams.web.activity_view import PAGE_ROWS, activity_view
from streams.web.assets_view import Page as AssetsPage
from streams.web.assets_view import (
    campaigns_view,
    charged_and_off,
    numbers_view,
    recordings_view,
)
from streams.web.budgets import read_standings
from streams.web.budgets_view import budgets_view
from streams.web.event_view import event_view
from streams.web.filters import Wanted, filter_of
from streams.web.frame import Frame, Link, tab_of
from streams.web.freshness import told_of
from streams.web.history import Histories, HistoryOf
from streams.web.kept import KeptByKey
from streams.web.line_view import TITLES, line_view
from streams.web.numbers import Numbers, shown_rate
from streams.web.overview_view import overview_view
from streams.web.prices_view import prices_view
from streams.web.quotes import MINUTES_MOST, QuotePart, quote_part, ratio_of
from streams.web.reads import NoStatementError, Reads
from streams.web.render import View
from streams.web.usage_view import usage_view
from streams.web.watched import Due, Told, Watched

# What no stream is woken for: it comes with the next heartbeat.
QUIET = frozenset({"as-of"})
ATTENTION_S = 10.0  # how long what needs attention on the overview is good enough


class Asked(NamedTuple):
    """What a reader asked to see: `month` is None for the account's current one."""

    account: str
    page: str
    month: date | None
    tab: str = ""
    exact: bool = False
    wanted: Wanted = Wanted()
    cursor: Cursor | None = None
    event: str = ""
    words: str = ""
    manages: bool = False
    quote: tuple[tuple[str, str], ...] = ()  # the fields of a form

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
        self._campaigns_kept: KeptByKey[Key, list[CampaignUse]] = KeptByKey(ATTENTION_S)
        self._reached_kept: KeptByKey[Key, dict[str, int]] = KeptByKey(ATTENTION_S)
        self._make = {"overview": self._overviews, "usage": self._usages}

    def frame(self, asked: Asked) -> Frame:
        return Frame(asked.account, asked.page, asked.query().get("month", ""), self._can_sign_out)

    async def view(self, asked: Asked) -> View:
        """The view of a page. Raises NoStatementError, StoreDownError, BusyError."""
        make = {
            "overview": self._of_statement,
            "usage": self._of_statement,
            "activity": self._activity,
            "line": self._line,
            "event": self._event,
            "campaigns": self._campaigns,
            "numbers": self._numbers,
            "recordings": self._recordings,
            "budgets": self._budgets,
            "prices": self._prices,
        }[asked.page]
        return await self._reads.off_loop(asked.account, make, asked)

    def watched(self, asked: Asked, shape: str) -> Watched[View]:
        """The view as a stream. `shape` is that of the view which the reader has."""

        def tell(before: View | None, after: View) -> Told | None:
            return tell_view(before, after, shape)

        return Watched(
            asked.account,
            asked.month,
            (asked, shape),
            reader=self._reads,
            make=self._make[asked.page],
            tell=tell,
            as_of=lambda view: view.leaves["as-of"],
            asked=asked,
        )

    def _of_statement(self, asked: Asked) -> View:
        statement = self._reads.read_live_statement(asked.account, asked.month)
        (view,) = self._make[asked.page]([Due(asked, statement, None)])
        return view

    def _overviews(self, due: Sequence[Due[View]]) -> list[View]:
        """The overviews of several accounts, in as few questions as that of one."""
        wanted = [
            HistoryOf(
                one.asked.account,
                month_of(one),
                one.statement["zone"],
            )
            for one in due
        ]
        histories = self._histories.read_all(wanted)
        campaigns = self._campaigns_kept.get_all(
            [one.key for one in wanted], partial(read_campaigns_of, self._reads.ledger)
        )
        reached = self._reached_kept.get_all(
            [one.key for one in wanted],
            partial(read_reached, self._reads.ledger, what=What.ACTUAL),
        )
        months = self._reads.read_months_of([one.account for one in wanted])
        return [
            overview_view(
                one.statement,
                history,
                attention=self._attention(one, campaigns[key.key], reached[key.key]),
                frame=self.frame(one.asked),
                months={*months[key.account], key.month},
                told=told_of(one.statement, shown_rate(one.statement["events_per_second"])),
                seen=one.before,
            )
            for one, key, history in zip(due, wanted, histories, strict=True)
        ]

    def _attention(
        self, one: Due[View], campaigns: Sequence[CampaignUse], reached: Mapping[str, int]
    ) -> list[Link]:
        """Budgets that are reached, and campaigns that are charged for a detection which they have
        switched off."""
        numbers = Numbers(one.statement["currency"], exact=False)
        frame = self.frame(one.asked)
        to, to_budgets = frame.to("campaigns", month=frame.month), frame.to("budgets")
        return [
            *(
                Link(f"Budget {name}: {percent} % of it is spent", to_budgets)
                for name, percent in sorted(reached.items(), key=lambda one: (-one[1], one[0]))
            ),
            *(
                Link(f"{campaign.name or campaign.campaign_id}: {said}", to)
                for campaign in campaigns
                if (said := charged_and_off(campaign, numbers))
            ),
        ]

    def _usages(self, due: Sequence[Due[View]]) -> list[View]:
        """The statements of several accounts, in as few questions as that of one."""
        keys = [(one.asked.account, month_of(one)) for one in due]
        befores = self._reads.read_months_before(keys)
        months = self._reads.read_months_of([account for account, _ in keys])
        return [
            usage_view(
                one.statement,
                befores[key],
                frame=self.frame(one.asked),
                months={*months[key[0]], key[1]},
                tab=tab_of(one.asked.tab),
                exact=one.asked.exact,
                told=told_of(one.statement, shown_rate(one.statement["events_per_second"])),
                seen=one.before,
            )
            for one, key in zip(due, keys, strict=True)
        ]

    def _activity(self, asked: Asked) -> View:
        month, basis = self._reads.read_basis(asked.account, asked.month)
        chosen = filter_of(asked.wanted, month, ZoneInfo(basis.zone))
        ledger = self._reads.ledger
        return activity_view(
            read_events(ledger, asked.account, chosen, before=asked.cursor, limit=PAGE_ROWS + 1),
            read_sum(ledger, asked.account, chosen),
            wanted=asked.wanted,
            is_later_page=asked.cursor is not None,
            month=month,
            months={*self._reads.read_months(asked.account), month},
            currency=basis.currency,
            frame=self.frame(asked),
        )

    def _line(self, asked: Asked) -> View:
        month, basis = self._reads.read_basis(asked.account, asked.month)
        chosen = filter_of(asked.wanted, month, ZoneInfo(basis.zone))
        return line_view(
            read_breakdowns(self._reads.ledger, asked.account, chosen, list(TITLES), basis.zone),
            wanted=asked.wanted,
            month=month,
            months={*self._reads.read_months(asked.account), month},
            currency=basis.currency,
            frame=self.frame(asked),
        )

    def _event(self, asked: Asked) -> View:
        ledger = self._reads.ledger
        rows = read_event(ledger, asked.account, asked.event)
        outcomes = read_outcomes(ledger, asked.account, asked.event)
        if not rows and not outcomes:
            raise NoStatementError(why_unknown(asked.event))
        groups = {(row.charge.terms.month, row.charge.group_id) for row in rows}
        legs = [
            leg
            for month, group in sorted(groups)
            if group
            for leg in read_legs(ledger, asked.account, month, group)
        ]
        return event_view(asked.event, rows, outcomes, legs, self.frame(asked))

    def _campaigns(self, asked: Asked) -> View:
        page = self._assets(asked)
        return campaigns_view(page, read_campaigns(self._reads.ledger, asked.account, page.month))

    def _numbers(self, asked: Asked) -> View:
        page = self._assets(asked)
        return numbers_view(page, read_numbers(self._reads.ledger, asked.account, page.month))

    def _recordings(self, asked: Asked) -> View:
        page = self._assets(asked)
        return recordings_view(page, read_recordings(self._reads.ledger, asked.account, page.month))

    def _assets(self, asked: Asked) -> AssetsPage:
        month, basis = self._reads.read_basis(asked.account, asked.month)
        months = {*self._reads.read_months(asked.account), month}
        numbers = Numbers(basis.currency, exact=True)
        return AssetsPage(self.frame(asked), month, months, numbers, ZoneInfo(basis.zone))

    def _budgets(self, asked: Asked) -> View:
        found = read_standings(self._reads, asked.account)
        return budgets_view(found, self.frame(asked), manages=asked.manages)

    def _prices(self, asked: Asked) -> View:
        book, now = self._reads.book(), datetime.now(UTC)
        quoted = self._quote(asked.account, dict(asked.quote)) if asked.quote else None
        return prices_view(asked.words, asked.account, book, now, self.frame(asked), quoted)

    def _quote(self, account: str, form: Mapping[str, str]) -> QuotePart:
        """A quote of a form, or what of it is wrong."""
        text = form.get("list", "")
        try:
            return quote_part(
                self._reads,
                account,
                text,
                read_list(text),
                answered=ratio_of("answered", form.get("answered", "").strip(), 100, 100),
                minutes=ratio_of("minutes", form.get("minutes", "").strip(), MINUTES_MOST),
                detection=bool(form.get("detection")),
            )
        except QuoteError as error:
            return QuotePart(text, str(error))
        except HTTPException as error:
            return QuotePart(text, str(error.detail))

    async def accounts(self, after: str) -> View:
        """All accounts' months, by UTC's calendar, those after a name. Raises StoreDownError."""
        now = datetime.now(UTC)
        month = now.date().replace(day=1)
        found = await self._reads.off_loop(
            "", read_accounts, self._reads.ledger, now, after=after, limit=PAGE_ACCOUNTS + 1
        )
        numbers = Numbers(self._reads.book().currency, exact=False)
        return accounts_view(found, month, previous_month(month), numbers)

    async def find(self, account: str, words: str) -> str:
        """The address of what a reader looks for: an event, else a number or a campaign."""
        frame = Frame(account, "activity", "", self._can_sign_out)
        if not words:
            return frame.to("activity")
        return await self._reads.off_loop(account, self._find, frame, words)

    def _find(self, frame: Frame, words: str) -> str:
        ledger = self._reads.ledger
        number = number_of(words)
        if number is None and read_event(ledger, frame.account, words):
            return frame.event(words)
        zone = self._reads.read_basis(frame.account, None)[1].zone
        today = datetime.now(ZoneInfo(zone)).date()
        year = {"first": f"{today - timedelta(days=365)}", "last": f"{today}"}
        if number is not None:
            return frame.to("activity", number=number, **year)
        if read_outcomes(ledger, frame.account, words):
            return frame.event(words)
        return frame.to("activity", campaign=words, **year)


def month_of(due: Due[View]) -> date:
    return date.fromisoformat(due.statement["month"] + "-01")


def number_of(words: str) -> str | None:
    """A phone number as events have it, however it is typed: "+1 (415) 555-0100"; else None."""
    digits = re.sub(r"[\s().-]", "", words)
    return digits if re.fullmatch(r"\+?[0-9]{2,15}", digits) else None


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
