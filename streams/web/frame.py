"""The frame of a page: whose it is, which month it shows, and where each link of it leads."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple
from urllib.parse import quote, urlencode

from rater.lines import Tab

PAGES = {
    # name       title in the bar
    "overview": "Overview",
    "usage": "Usage",
    "activity": "Activity",
    "campaigns": "Campaigns",
    "numbers": "Numbers",
    "recordings": "Recordings",
    "budgets": "Budgets",
    "prices": "Prices",
}


class Link(NamedTuple):
    """A link of a page, and whether it leads to what is shown."""

    title: str
    href: str
    chosen: bool = False


class Choice(NamedTuple):
    """What a list offers."""

    value: str
    title: str


class Frame(NamedTuple):
    """What every page of an account has around it. `month` is "" where none was asked for."""

    account: str
    page: str
    month: str
    can_sign_out: bool

    @property
    def path(self) -> str:
        return account_path(self.account)

    def pages(self) -> list[Link]:
        """The pages of the bar; the month that was asked for stays."""
        return [
            Link(title, self.to(name, month=self.month), name == self.page)
            for name, title in PAGES.items()
        ]

    def to(self, page: str, **query: str) -> str:
        """The address of a page of this account; what is empty in its query is left out."""
        path = self.path if page == "overview" else f"{self.path}/{page}"
        return with_query(path, query)

    def live(self, page: str, **query: str) -> str:
        """The address of the live stream of a page."""
        return with_query(f"{self.path}/live", {"page": page, **query})

    def event(self, identity: str, **query: str) -> str:
        return with_query(f"{self.path}/events/{quote(identity, safe='')}", query)


def account_path(account: str) -> str:
    return f"/accounts/{quote(account, safe='')}"


def with_query(path: str, query: Mapping[str, str]) -> str:
    told = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{told}" if told else path


def month_name(month: date) -> str:
    return f"{month:%B} {month.year}"


def choices_of(months: Iterable[date]) -> list[Choice]:
    """The months that a list offers, the newest first."""
    return [Choice(f"{one:%Y-%m}", month_name(one)) for one in sorted(months, reverse=True)]


def tab_of(text: str) -> Tab:
    return Tab.PRODUCTS if text == Tab.PRODUCTS else Tab.USAGE
