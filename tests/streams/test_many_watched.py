"""Many open pages: read together, and made anew only where what they show has changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from streams.store.ledger import Ledger
from streams.web import live, render
from streams.web.history import Histories
from streams.web.kept import KeptByKey
from streams.web.live import Live
from streams.web.reads import NoStatementError, Reads
from streams.web.render import View
from streams.web.views import Asked, Views
from streams.web.watched import Watched
from tests.streams.test_web import FakeReads, Filled, Served, filled_ledger, read_events
from tests.support.workers import until

JANUARY = date(2026, 1, 1)
PAGES = ("overview", "usage")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("watched") / "store") as filled:
        yield filled


def account_of(n: int) -> str:
    return f"watched-{n}"


class Watching:
    """Pages as a stream has them, without a stream: each read of all of them is told to begin."""

    def __init__(self, filled: Filled, asked: list[Asked]) -> None:
        self.reads = Reads(filled.ledger, lambda: filled.book)
        self.views = Views(self.reads, Histories(filled.ledger), can_sign_out=False)
        self.watched = [self.views.watched(one, "") for one in asked]
        self.stood: list[Any] = [None] * len(asked)

    def forget(self) -> None:
        """What is kept a while is read again."""
        for owner in (self.reads, self.views, self.views._histories):
            for kept in vars(owner).values():
                if isinstance(kept, KeptByKey):
                    kept._read.clear()

    async def read(self) -> list[Any]:
        pairs = list(zip(self.watched, self.stood, strict=True))
        self.stood = await self.reads.read_watched(pairs)
        return self.stood


# ------------------------------------------------------------------ reading


async def test_all_that_is_watched_is_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []

    class Noting(FakeReads):
        async def read_watched(self, watched: Sequence[tuple[Watched[Any], Any]]) -> list[Any]:
            together.append(len(watched))
            return await super().read_watched(watched)

    monkeypatch.setattr(live, "TOGETHER_MOST", 30)
    reads, streams = Noting(), Live()
    opened = [streams.response(reads.watched(account_of(n))) for n in range(80)]
    await until(lambda: len(together) >= 3)
    assert together[:3] == [30, 30, 20]
    for one in opened:
        one.on_end()
    await streams.close()


async def test_what_is_wrong_with_one_account_ends_its_streams_and_no_other() -> None:
    class OneIsWrong(FakeReads):
        async def read_watched(self, watched: Sequence[tuple[Watched[Any], Any]]) -> list[Any]:
            stood = await super().read_watched(watched)
            return [
                NoStatementError("no account") if one.account == "wrong" else told
                for (one, _), told in zip(watched, stood, strict=True)
            ]

    reads, streams = OneIsWrong(), Live()
    with pytest.raises(NoStatementError):
        await streams.opened(reads.watched("wrong"))
    right = await streams.opened(reads.watched("right"))
    assert [key for key, _ in streams._feeds] == ["right"]
    right.on_end()
    await streams.close()


@pytest.mark.parametrize("page", PAGES)
async def test_pages_of_many_accounts_take_no_more_questions_than_that_of_one(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    for n in range(10):
        for k in range(n + 1):
            filled.call(datetime(2026, 1, 3, tzinfo=UTC), account_id=account_of(n), id=f"{page}{k}")
    asked: list[str] = []
    query = Ledger.query

    def count(self: Ledger, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        asked.append(sql)
        return query(self, sql, parameters)

    monkeypatch.setattr(Ledger, "query", count)
    questions = []
    for count_of in (1, 10):
        asked.clear()
        pages = Watching(filled, [Asked(account_of(n), page, JANUARY) for n in range(count_of)])
        views = await pages.read()
        assert all(isinstance(view, View) for view in views)
        questions.append(len(asked))
    assert questions[1] <= questions[0]
    assert len({view.leaves["total"] for view in views}) == 10


def test_a_month_that_never_was_is_a_404_before_its_stream_begins(filled: Filled) -> None:
    with Served(filled) as served:
        for path in (
            "/v1/accounts/nobody/live?month=2026-01",
            "/accounts/nobody/live?page=usage",
            "/accounts/nobody/live?page=overview&month=2026-01",
        ):
            answer = served.get(path)
            assert (answer.status_code, "nobody" in answer.text) == (404, True), path


def test_streams_of_several_accounts_and_pages_are_told_of_their_own_alone(filled: Filled) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for n in range(3):
        filled.call(yesterday, account_id=f"own-{n}", seconds=60 * (n + 1))
    with Served(filled) as served, ExitStack() as stack:
        told = []
        for n in range(3):
            for page in PAGES:
                path = f"/accounts/own-{n}/live?page={page}&month={yesterday:%Y-%m}"
                stream = httpx.stream("GET", served.url + path, timeout=20)
                lines = stack.enter_context(stream).iter_lines()
                told.append(next(read_events(lines))["data"])
        for n in range(3):
            own = told[2 * n : 2 * n + 2]
            assert all(f"own-{n}" in data for data in own)
            assert not any(f"own-{other}" in data for data in own for other in {0, 1, 2} - {n})


# ------------------------------------------------------------------ rendering


async def test_a_view_made_of_the_one_before_is_the_view_made_anew(filled: Filled) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    account = "anew"
    steps: list[Callable[[], None]] = [
        lambda: filled.call(at, account_id=account),
        lambda: filled.call(at, account_id=account, seconds=7000),
        lambda: filled.text(at, account_id=account),
        lambda: filled.text(at, account_id=account, media="mms", registered=False),
        lambda: filled.call(at - timedelta(days=31), account_id=account),
        lambda: filled.park(at, account_id=account),
        lambda: None,
    ]
    asked = [
        Asked(account, "overview", None),
        Asked(account, "usage", None),
        Asked(account, "usage", None, exact=True),
        Asked(account, "usage", None, tab="products"),
    ]
    pages = Watching(filled, asked)
    for step in steps:
        step()
        pages.forget()
        views = await pages.read()
        fresh = await Watching(filled, asked).read()
        for one, two in zip(views, fresh, strict=True):
            assert one.skeleton == two.skeleton
            changed = one.changed_from(two)
            assert changed is not None
            assert changed.keys() <= {"as-of", "pace"}


async def test_a_page_is_rendered_when_its_shape_changes_and_a_number_is_no_shape(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    made = render.render

    def noting(template: str, **values: Any) -> View:
        rendered.append(template)
        return made(template, **values)

    monkeypatch.setattr(render, "render", noting)
    at = datetime.now(UTC) - timedelta(hours=1)
    filled.call(at, account_id="calm")
    pages = Watching(filled, [Asked("calm", page, None) for page in PAGES])
    first = await pages.read()
    assert sorted(rendered) == ["overview.html", "usage.html"]
    for seconds in (61, 3600, 59):
        filled.call(at, account_id="calm", seconds=seconds)
        for view, before in zip(await pages.read(), first, strict=True):
            assert view.leaves["total"] != before.leaves["total"]
    assert len(rendered) == 2
    filled.text(at, account_id="calm")  # a line that was not used
    await pages.read()
    assert rendered[2:] == ["usage.html"]


async def test_what_is_kept_of_a_view_does_not_grow(filled: Filled) -> None:
    pages = Watching(filled, [Asked("acme", page, JANUARY) for page in PAGES])
    first = [set(view.parts._made) for view in await pages.read()]
    for _ in range(3):
        pages.forget()
        await pages.read()
    assert [set(view.parts._made) for view in pages.stood] == first
