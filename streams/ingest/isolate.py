"""Records that can't be rated or stored are found by halves, and become dead letters.

A store or an engine that fails on everything is no record's fault: nothing is a dead letter unless
others of the same records were stored, and are taken once more after the last refusal.
"""

from collections.abc import Callable, Sequence

from rater.reject import Reason, Reject
from streams.ingest.stretch import Stretch, tell_skipped
from streams.rows.batch import Batch, add_rejected
from streams.store.errors import why_refused

REFUSED_MAX = 100  # in a row; more are taken for a fault of the store's or of the engine's


class RefusedError(RuntimeError):
    """Records are refused, and nothing shows that it is their own fault; the message says why."""


def isolate(
    stretches: Sequence[Stretch],
    rate: Callable[[Sequence[Stretch]], Batch],
    write: Callable[[Batch], None],
) -> Batch:
    """Writes all that can be written, then dead letters of the rest; returns all of it.

    Safe to call again with the same. Raises RefusedError, or one of StoreErrors that may pass.
    """
    done, letters = Batch(), Batch()
    good: Batch | None = None  # the smallest part that the store took
    why, in_a_row = "", 0
    waiting = [list(stretches)]
    while waiting:
        some = waiting.pop()
        outcome = _try(some, rate, write)
        if isinstance(outcome, Batch):
            done.merge(outcome)
            if outcome.has_rows():
                in_a_row = 0
                if good is None or outcome.record_count() < good.record_count():
                    good = outcome
        elif len(some) > 1 or len(some[0].records) > 1:
            waiting += reversed(_halves(some))
        else:
            (one,), why, in_a_row = some, outcome.message, in_a_row + 1
            if in_a_row > REFUSED_MAX:
                raise RefusedError(f"more than {REFUSED_MAX} records in a row: {why}")
            letter = Batch()
            add_rejected(letter, one.kind, one.topic, (one.partition, one.records), outcome)
            tell_skipped(letter, [one])
            letters.merge(letter)
    if not letters.rejected:
        return done
    if good is None:
        raise RefusedError(f"no record was taken: {why}")
    for batch in (good, letters):
        refused = _write(write, batch)
        if refused is not None:
            raise RefusedError(refused.message)
    done.merge(letters)
    return done


def _try(
    some: Sequence[Stretch],
    rate: Callable[[Sequence[Stretch]], Batch],
    write: Callable[[Batch], None],
) -> Batch | Reject:
    try:
        batch = rate(some)
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, it is of these records and of no machinery
        name = type(error).__name__
        return Reject(
            Reason.NOT_RATED,
            f"the engine fails on this record: {name}; report it, and send it again",
        )
    return _write(write, batch) or batch


def _write(write: Callable[[Batch], None], batch: Batch) -> Reject | None:
    """None once it is written. Raises what may pass."""
    try:
        write(batch)
    except Exception as error:
        if not (why := why_refused(error)):
            raise
        return Reject(
            Reason.NOT_STORED,
            f"the store takes others and refuses this one: {why}; see its log, and send the record "
            "again once it is mended",
        )
    return None


def _halves(some: Sequence[Stretch]) -> list[list[Stretch]]:
    if len(some) > 1:
        half = len(some) // 2
        return [list(some[:half]), list(some[half:])]
    (one,) = some
    half = len(one.records) // 2
    first, second = one.records[:half], one.records[half:]
    return [[one._replace(records=first)], [one._replace(records=second, skipped=())]]
