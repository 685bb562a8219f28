"""A worker's maintenance jobs: what each does at its turn, and the table of all."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial

import structlog

from rater.kinds import KINDS
from rater.tariff import Book
from streams.base import metrics
from streams.base.books import BookFile
from streams.base.errors import first_line
from streams.base.settings import Settings
from streams.base.shutdown import STOP_S
from streams.kafka.alerts_topic import send_alerts
from streams.kafka.clients import BrokerErrors, read_committed
from streams.maintenance.audit import Finding, audit_lately
from streams.maintenance.audit_metrics import ShownFindings
from streams.maintenance.budgets import BudgetsJob
from streams.maintenance.conflicts import Conflict, in_parts, resolve_part
from streams.maintenance.news import News
from streams.maintenance.parked import retry_parked
from streams.maintenance.recurring import (
    find_never_charged,
    make_earlier_months,
    make_months,
    open_months,
)
from streams.maintenance.schedule import Job, Schedule
from streams.maintenance.tell import AlertsJob, Way
from streams.maintenance.walk import WalkJob, step_accounts, step_receipts
from streams.maintenance.webhook import Webhook
from streams.rows.changed import Changed, Thing
from streams.rows.log_position import Span, join_spans
from streams.store.errors import StoreErrors, is_answer
from streams.store.health import why_not_ready
from streams.store.ledger import SPANS_GAP_MS, Ledger
from streams.store.outcomes import read_written
from streams.store.parked import count_parked
from streams.store.recurring import read_told
from streams.store.walks import Walk, read_walk, write_walk

STORE_PROBE_S = 5.0
BROKER_TIMEOUT_S = 5.0  # so that an absent broker does not hold up the audit
# A conflict is told within a minute.
CONFLICTS_EVERY_S = 20.0
# A part of everything each time; it rests as the others do.
WALK_EVERY_S = 20.0
KEEPER_EVERY_S = 0.5
# What was written in the window, or since the audit before began, is audited again and again: a
# store that was away meanwhile leaves nothing out, and what was found is told for as long.
AUDIT_EVERY_S = 300.0
AUDIT_WINDOW = timedelta(hours=1)
# What jobs ask the store rests so many times as long as it took: neither a backlog of recordings
# nor a long history may keep the store.
MONTHLY_REST = 19
LOOK_BACK_REST = 9
# Cycles come from the web, from errors and from Faust's own tasks: few. What has outlived a
# collection, the book above all, is looked at seldom: it takes 0.1 s, and nothing else goes on.
GARBAGE_EVERY_S = 30.0
OLD_GARBAGE_EVERY_S = 600.0
# Beside each reload of the book: what was parked by the old book just after it.
PARKED_RETRY_S = 30.0
# What runs away is told within ten seconds: looked at, and sent. A look reads the months of what
# accounts have budgets and news: a second for a million rows, so it rests less than others.
BUDGETS_EVERY_S = 2.0
BUDGETS_REST = 3
ALERTS_EVERY_S = 2.0

log = structlog.get_logger()


class Changes:
    """Whose recurring charges may have changed, as jobs tell one another."""

    def __init__(self) -> None:
        self.changed = Changed(set(), set())

    def take_changed(self) -> Changed:
        """What was put since this was asked last."""
        taken, self.changed = self.changed, Changed(set(), set())
        return taken

    def put_changed(self, changed: Changed) -> None:
        self.changed.merge(changed)


class ConflictsJob:
    """Resolves conflicts of what was recently written, by any worker. The walk comes to all."""

    def __init__(self, ledger: Ledger, changes: Changes) -> None:
        self._ledger = ledger
        self._changes = changes
        self.news = News("conflicts", ledger)
        self._unresolved: list[Span] = []  # of a search that failed, too
        self._found: set[tuple[str, str, str]] = set()

    async def run(self) -> bool:
        spans = await asyncio.to_thread(self.news.read, datetime.now(UTC))
        # What has no receipt: parked events that were rated here.
        spans += await asyncio.to_thread(self._ledger.take_written)
        self.look_at(spans)
        while self._unresolved:
            # One part after another: a search that fails goes on where it was.
            found = await asyncio.to_thread(self._resolve_next)
            self._found.update(one[:3] for one in found)
            metrics.CONFLICTS.set(len(self._found))
            # An event that told of one thing may turn out to have told of another one before.
            accounts = {one.account_id for one in found if KINDS[one.kind].monthly}
            self._changes.put_changed(Changed(set(), accounts))
        await asyncio.to_thread(self.news.done)
        return True

    def look_at(self, spans: Iterable[Span]) -> None:
        """Puts parts of the log beside what is to be looked at next."""
        self._unresolved += spans

    def _resolve_next(self) -> list[Conflict]:
        span, *others = self._unresolved
        first, *more = in_parts(self._ledger, span) or [span]
        found = resolve_part(self._ledger, first)
        self._unresolved = [*more, *others]
        return found

    async def run_last(self) -> None:
        """What was written last, within STOP_S: whoever takes over looks at what it writes."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self.run()
        except StoreErrors as error:
            log.warning("store_down", error=first_line(error), job="conflicts")


class AuditJob:
    """Audits what was written recently, and what the group has committed: gauges, log lines."""

    def __init__(
        self, settings: Settings, ledger: Ledger, conflicts: ConflictsJob, shown: ShownFindings
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._conflicts = conflicts
        self._shown = shown
        self.audited_at = datetime.now(UTC)

    async def resume(self) -> None:
        """Goes on from the audit before, whichever worker made it."""
        kept = await asyncio.to_thread(read_walk, self._ledger, "audit")
        if kept.position:
            self.audited_at = datetime.fromisoformat(kept.position)

    async def run(self) -> bool:
        try:
            committed = await read_committed(self._settings, timeout_s=BROKER_TIMEOUT_S)
        except BrokerErrors as error:
            log.warning("audit_without_commits", error=first_line(error))
            committed = {}
        now = datetime.now(UTC)
        since = min(now - AUDIT_WINDOW, self.audited_at)
        audit = await asyncio.to_thread(
            audit_lately,
            self._ledger,
            open_months(now),
            since,
            topic_prefix=self._settings.topic_prefix,
            committed=committed,
        )
        self.audited_at = now
        await asyncio.to_thread(write_walk, self._ledger, "audit", Walk(now.isoformat(), now), now)
        self._shown.show("lately", audit.findings)
        metrics.AUDITED_AT.set(time.time())
        log_findings(audit.findings)
        if any(finding.check == "unsettled" for finding in audit.findings):
            written = await asyncio.to_thread(read_written, self._ledger, since)
            spans = (Span(one.first_logged_ms, one.last_logged_ms) for one in written)
            self._conflicts.look_at(join_spans(spans, SPANS_GAP_MS))
        return True


def log_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        log.error("audit", check=finding.check, message=finding.message)


class MonthsJob:
    """Makes the recurring charges of the open months: of all things once, then of what changed."""

    def __init__(
        self, ledger: Ledger, book: Callable[[], Book], changes: Changes, topic_prefix: str
    ) -> None:
        self._ledger = ledger
        self._book = book
        self._changes = changes
        self._topic_prefix = topic_prefix
        self.news = News("months", ledger, telling=True)
        self._made: set[date] = set()  # open months, of all things
        self._forgotten = False  # while they were being made
        self._unpriced: set[tuple[date, Thing]] = set()

    def forget_made(self) -> None:
        """Lets the next run make all things' charges: by a book with other prices."""
        self._made.clear()
        self._forgotten = True

    async def run(self) -> bool:
        began = bool(self._made)
        self._forgotten = False
        now = datetime.now(UTC)
        told = await asyncio.to_thread(self._read_told, now)
        self._changes.put_changed(Changed(told, set()))
        changed = self._changes.take_changed()
        months = open_months(now)
        new = [month for month in months if month not in self._made]
        parts: list[Changed | None] = [None, *changed.in_parts()]
        failed: list[Changed | None] = []
        problem: Exception | None = None
        for index, some in enumerate(parts):
            try:
                made = await asyncio.to_thread(
                    self._make, new if some is None else months, months[0], now, some
                )
            except StoreErrors as error:
                problem = error
                failed.append(some)
                if not is_answer(error):
                    failed += parts[index + 1 :]
                    break
                continue
            self._unpriced = made | {
                (month, thing)
                for month, thing in self._unpriced
                if month not in new and not (some and some.has(thing))
            }
        for some in filter(None, failed):
            self._changes.put_changed(some)
        if None not in failed and not self._forgotten:
            self._made = set(months)
        metrics.UNPRICED_THINGS.set(len(self._unpriced))
        if problem is not None:
            raise problem
        await asyncio.to_thread(self.news.done)
        return began

    def _read_told(self, now: datetime) -> set[Thing]:
        """Of which things something was told since this was asked last, to any worker."""
        return {thing for span in self.news.read(now) for thing in read_told(self._ledger, span)}

    def _make(
        self, months: list[date], first: date, now: datetime, changed: Changed | None
    ) -> set[tuple[date, Thing]]:
        """Some open months of what changed, or of all, and those before the first open one; says
        what has no price."""
        ledger, book, prefix = self._ledger, self._book(), self._topic_prefix
        made = make_months(ledger, book, months, as_of=now, topic_prefix=prefix, changed=changed)
        began = made.began
        if changed is None:
            began = find_never_charged(ledger, first) if months else {}
        earlier = make_earlier_months(
            ledger, book, first, began=began, as_of=now, topic_prefix=prefix
        )
        return made.unpriced | earlier.unpriced


class Maintenance:
    """A worker's jobs and their schedule; `keeps` says whether those of the group are its own."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        book_file: BookFile,
        keeps: Callable[[], bool] = lambda: True,
    ) -> None:
        changes = Changes()
        self._settings = settings
        self._keeps = keeps
        self.is_keeper = False
        self._ledger = ledger
        self._book_file = book_file
        self._changes = changes
        self.conflicts = ConflictsJob(ledger, changes)
        self.shown = ShownFindings()
        self.audit = AuditJob(settings, ledger, self.conflicts, self.shown)
        self.walks = (
            WalkJob("accounts", ledger, step_accounts),
            WalkJob("receipts", ledger, partial(step_receipts, topic_prefix=settings.topic_prefix)),
        )
        self.months = MonthsJob(ledger, lambda: book_file.book, changes, settings.topic_prefix)
        self.budgets = BudgetsJob(ledger, lambda: book_file.book)
        self.alerts = AlertsJob(ledger, ways_of(settings))
        self.store_problem: str | None = "the store has not been asked yet"
        self._retried: tuple[Book | None, Book | None] = (None, None)  # under which books, last
        self.schedule = Schedule(self.jobs(), keeps=lambda: self.is_keeper)

    def jobs(self) -> tuple[Job, ...]:
        """The table."""
        reload_s, monthly_s = self._settings.tariff_reload_s, self._settings.monthly_every_s
        return (
            # name        every (s)            what to do             rests so often as it took
            Job("keeper", KEEPER_EVERY_S, self._watch_keeper),
            Job("garbage", GARBAGE_EVERY_S, collect_garbage),
            Job("old_garbage", OLD_GARBAGE_EVERY_S, collect_old_garbage),
            Job("book", reload_s, self._reload_book),
            Job("probe", STORE_PROBE_S, self._probe_store),
            # Of the group.
            Job("months", monthly_s, self.months.run, MONTHLY_REST, True),
            Job("parked", PARKED_RETRY_S, self._retry_parked, 0, True),
            Job("parked_now", PARKED_RETRY_S, self._count_parked, LOOK_BACK_REST, True),
            Job("budgets", BUDGETS_EVERY_S, self._watch_budgets, BUDGETS_REST, True),
            Job("alerts", ALERTS_EVERY_S, self.alerts.run, 0, True),
            Job("conflicts", CONFLICTS_EVERY_S, self.conflicts.run, LOOK_BACK_REST, True),
            Job("audit", AUDIT_EVERY_S, self.audit.run, LOOK_BACK_REST, True),
            *(
                Job(walk.job, WALK_EVERY_S, partial(self._walk, walk), LOOK_BACK_REST, True)
                for walk in self.walks
            ),
        )

    async def _watch_keeper(self) -> bool:
        """Begins the group's jobs where another left them, or leaves them to another."""
        keeps = self._keeps()
        if keeps == self.is_keeper:
            return True
        log.info("housekeeping", here=keeps)
        if keeps:
            self.conflicts.news.forget()
            self.months.news.forget()
            self.months.forget_made()
            self.budgets.forget()
            self._retried = (None, None)
            await self.audit.resume()
        self.is_keeper = keeps
        metrics.HOUSEKEEPER.set(keeps)
        if not keeps:  # another one shows these
            self.shown.clear()
            for gauge in (metrics.PARKED_NOW, metrics.CONFLICTS, metrics.UNPRICED_THINGS):
                gauge.set(0)
        return True

    async def _reload_book(self) -> bool:
        if await asyncio.to_thread(self._book_file.reload):
            self.schedule.make_due("parked")
            self.months.forget_made()
        return True

    async def _retry_parked(self) -> bool:
        """Under each book twice: what was being rated as it came may be parked by the one before.

        Nothing else brings a price, so nothing that waits is rated again in vain.
        """
        book = self._book_file.book
        if self._retried == (book, book):
            return True
        retried, accounts = await asyncio.to_thread(retry_parked, self._ledger, book)
        self._retried = (self._retried[1], book)
        self._changes.put_changed(Changed(set(), accounts))
        if retried:
            log.info("parked_rated", events=retried)
        return True

    async def _watch_budgets(self) -> bool:
        if await self.budgets.run():
            self.schedule.make_due("alerts")
        return True

    async def _count_parked(self) -> bool:
        metrics.PARKED_NOW.set(await asyncio.to_thread(count_parked, self._ledger))
        return True

    async def _walk(self, walk: WalkJob) -> bool:
        findings = await asyncio.to_thread(walk.turn, datetime.now(UTC))
        self.shown.show(walk.name, walk.findings())
        log_findings(findings)
        return True

    async def _probe_store(self) -> bool:
        """Whether the store answers what costs nothing, and has room; no other job says so."""
        self.store_problem = await asyncio.to_thread(why_not_ready, self._ledger)
        metrics.STORE_UP.set(self.store_problem is None)
        return True


def ways_of(settings: Settings) -> dict[str, Way]:
    """By which ways alerts go out. Raises SettingsError for a secret that can't be one."""
    ways: dict[str, Way] = {"topic": partial(send_alerts, settings)}
    if settings.alerts_url:
        ways["webhook"] = Webhook(settings).send
    return ways


async def collect_garbage() -> bool:
    """Cycles among what was made lately."""
    gc.collect(1)
    return True


async def collect_old_garbage() -> bool:
    """All cycles."""
    gc.collect()
    return True
