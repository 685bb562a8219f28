"""The commands that forget: what is older than the settings keep it, and an account.

Both change rows where they lie, which a worker's store user may not: run them as who migrates.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from rater.months import previous_month
from streams.base.settings import Settings
from streams.cli.console import WRONG_USE, Stop, Store, out, settings_for, store_of

if TYPE_CHECKING:
    from streams.store.ledger import Ledger

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and do nothing.")]
Step = tuple[str, int, Callable[[], None]]  # what, how many rows, and how


def forget(dry_run: DryRun = False, store: Store = None) -> None:
    """Forget what is older than RATER_KEEP_* say: dead letters, rated parked events, numbers.

    Of old months the numbers are cut to a prefix; keys and sums stay, or it stops. Run it daily.
    """
    from streams.store.privacy import PrivacyError

    settings = settings_for(store=store)
    kept = (settings.keep_rejected_days, settings.keep_parked_days, settings.keep_numbers_months)
    if not any(kept):
        raise Stop(
            "everything is kept for ever: set RATER_KEEP_REJECTED_DAYS, RATER_KEEP_PARKED_DAYS or "
            "RATER_KEEP_NUMBERS_MONTHS",
            WRONG_USE,
        )
    with store_of(settings) as ledger:
        for what, rows, do in _steps(settings, ledger, datetime.now(UTC)):
            if rows and not dry_run:
                try:
                    do()
                except PrivacyError as error:
                    raise Stop(str(error)) from error
            _say(f"{what}: {rows} rows{' would be' if dry_run else ''}")


def _steps(settings: Settings, ledger: "Ledger", now: datetime) -> list[Step]:
    """What the settings ask for now."""
    from streams.store import privacy

    steps: list[Step] = []
    if settings.keep_rejected_days:
        before = now - timedelta(days=settings.keep_rejected_days)
        rows = privacy.count_old_letters(ledger, before)
        what = f"dead letters of before {before:%Y-%m-%d}, removed"
        steps.append((what, rows, partial(privacy.forget_letters, ledger, before)))
    if settings.keep_parked_days:
        before = now - timedelta(days=settings.keep_parked_days)
        rows = privacy.count_old_parked(ledger, before)
        what = f"parked events that were rated before {before:%Y-%m-%d}, removed"
        steps.append((what, rows, partial(privacy.forget_parked, ledger, before)))
    if settings.keep_numbers_months:
        first_kept = now.date().replace(day=1)
        for _ in range(settings.keep_numbers_months):
            first_kept = previous_month(first_kept)
        for month, rows in privacy.count_whole_numbers(ledger, first_kept).items():
            what = f"numbers of {month:%Y-%m} in full, cut (keys and sums stay)"
            steps.append((what, rows, partial(privacy.cut_numbers, ledger, month)))
    return steps


def erase(
    account: Annotated[str, typer.Argument(help="The account's id.")],
    charges: Annotated[
        bool, typer.Option("--charges", help="Its charges too: no statement is left.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: Store = None,
) -> None:
    """Erase an account: waiting events and dead letters, and in its charges who and which number.

    What is charged stays, unless --charges. Asks first, and says what became of each table.
    """
    from streams.store.privacy import PrivacyError, plan_erasure
    from streams.store.privacy import erase as do

    with store_of(settings_for(store=store)) as ledger:
        plan = plan_erasure(ledger, account, charges=charges)
        if not any(rows for _, _, rows in plan):
            raise Stop("the ledger has nothing of that account")
        for table, what, rows in plan:
            _say(f"{table}: {rows} rows, {what}")
        if not yes and not typer.confirm("Erase them? It can't be undone"):
            raise Stop("nothing was erased")
        try:
            do(ledger, account, plan)
        except PrivacyError as error:
            raise Stop(f"{error}; run it again, which is safe") from error
    _say("done; kept all the same:")
    for line in KEPT_CHARGES if charges else KEPT:
        _say(f"- {line}")


_ELSEWHERE = (
    "receipts: how many records of each part of the log were what; they name no account",
    "Kafka's topics keep the records until their retention; a record that is read again comes back",
    "backups, exports and logs of others are theirs to erase; its tokens: `rater token revoke`",
)
KEPT = (
    "charges with their ids and amounts: what was billed is a record",
    "accepted: ids and hashes of events, so that one that is sent again is charged once",
    "the account's own numbers, recordings, subscriptions and campaigns by their ids: what its "
    "monthly charges are for",
    *_ELSEWHERE,
)
KEPT_CHARGES = ("an event that is sent again is charged as a new one", *_ELSEWHERE)


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)
