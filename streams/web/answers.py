"""The answers of /v1 as its document describes them; a test holds each answer against it.

They describe and do not convert: an answer goes out as the ledger's rows made it, its exact
decimals as text.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from rater.charge import MONEY, Charge, Cost, Terms

Exact = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["0.026"])]
Instant = Annotated[
    str,
    Field(pattern=r"^[0-9-]{10}T[0-9:]{8}(\.[0-9]{1,6})?Z$", examples=["2026-11-28T14:03:07.25Z"]),
]
MonthName = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-11"])]
DayName = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-11-28"])]


class Answer(BaseModel):
    """What is not declared is not there."""

    model_config = ConfigDict(extra="forbid")


class Part(Answer):
    amount: int = Field(description="all that was used")
    free: int = Field(description="what of it cost nothing")
    quantity: Exact = Field(description="of what cost something, in units")
    unit: str = Field(examples=["minute"])
    average_price: Exact | None = None
    charge: Exact
    segments: int | None = None
    direction: str | None = None
    media: str | None = None
    registered: bool | None = None
    level: str | None = None
    authorities: list[str] | None = None


class Line(Part):
    line: str = Field(examples=["calls"])
    unknown: int | None = Field(None, description="charges whose tax is not known")
    parts: list[Part]


class WaitingReason(Answer):
    reason: str
    count: int
    since: Instant


class Waiting(Answer):
    count: int
    since: Instant | None
    reasons: list[WaitingReason]


class Freshness(Answer):
    state: str = Field(examples=["live"], description="live, behind, stopped, none or over")
    behind_s: int | None = None
    since: Instant | None = None


class Product(Answer):
    product: str
    subscription_id: str
    charge: Exact
    since: DayName
    next_billing: DayName | None


class Statement(Answer):
    """A month of an account. The lines add up to the total, and parts to their line."""

    account_id: str
    month: MonthName
    zone: str = Field(examples=["America/New_York"])
    as_of: Instant
    status: str = Field(examples=["estimate"])
    currency: str = Field(examples=["USD"])
    tariffs: list[str]
    remarks: list[str]
    lines: list[Line]
    waiting: Waiting
    usage_total: Exact
    products_total: Exact
    total: Exact = Field(examples=["12.34"])
    freshness: Freshness
    products: list[Product]


class Months(Answer):
    account_id: str
    months: list[MonthName]


class CurrencySum(Answer):
    currency: str = Field(examples=["USD"])
    amount: int = Field(description="charges, free ones too")
    charge: Exact
    tax: Exact


class UsageGroup(Answer):
    line: str = Field(examples=["calls"])
    group: dict[str, str] = Field(examples=[{"day": "2026-11-28", "campaign": "spring"}])
    currency: str
    amount: int
    billed: int = Field(description="units that cost something")
    billed_seconds: int
    charge: Exact
    tax: Exact


class UsageGroups(Answer):
    """Sums by line and groupings, the dearest first; with `left_out` they add up to `sums`."""

    account_id: str
    zone: str
    by: list[str]
    groups: list[UsageGroup]
    left_out: list[CurrencySum]
    sums: list[CurrencySum]


def _row_fields() -> dict[str, Any]:
    """A rated row's fields by those of a charge, so that a new one is in the document."""
    kinds = {
        **Charge.__annotations__,
        **Terms.__annotations__,
        **Cost.__annotations__,
        **dict.fromkeys(MONEY, Exact),
    }
    for name in ("terms", "cost", "occurred_us", "answered_us", "ended_us", "from_"):
        del kinds[name]
    kinds |= {
        "month": MonthName, "from": str, "occurred_at": Instant, "answered_at": Instant | None,
        "ended_at": Instant | None, "topic": str, "partition": int, "offset": int,
        "logged_at": Instant,
    }  # fmt: skip
    return {name: (kind, ...) for name, kind in kinds.items()}


_ROW = _row_fields()
ChargeRow: Any = create_model("ChargeRow", __base__=Answer, **_ROW)
ExplainedRow: Any = create_model(
    "ExplainedRow",
    __base__=Answer,
    **_ROW,
    sentence=(str, Field(examples=["10:00:00 to 10:01:01 is 61 s, 2 minutes at $0.0130"])),
    taxes=(list[str], Field(description="each authority with its rate")),
)


class Charges(Answer):
    """A page of charges, the newest first; `next` is the cursor of the one after it."""

    account_id: str
    zone: str
    rows: list[ChargeRow]
    next: str | None
    sums: list[CurrencySum]


class Outcome(Answer):
    outcome: str = Field(examples=["parked"])
    kind: str
    reason: str
    sentence: str
    since: Instant
    topic: str
    partition: int
    offset: int


class Explained(Answer):
    account_id: str
    event_id: str
    rows: list[ExplainedRow]
    outcomes: list[Outcome]


class Declared(Answer):
    """A budget as it was declared: an amount a month, with tax."""

    name: str
    amount: Exact
    lines: list[str] = Field(description="of the statement; none is all")
    campaign: str
    user: str


class ForecastRange(Answer):
    low: Exact
    likely: Exact
    high: Exact


class Stands(Declared):
    spent: Exact
    forecast: ForecastRange | None = Field(description="null while a week of usage is not known")


class DeliveryTold(Answer):
    way: str = Field(examples=["webhook"])
    attempts: int
    sent: bool
    answer: str = Field(examples=["HTTP 204"])
    at: Instant


class AlertTold(Answer):
    id: str = Field(description="the same on the topic and the webhook, each time it is sent")
    type: str = Field(examples=["budget.actual"])
    budget: str
    percent: int
    amount: Exact
    spent: Exact
    currency: str
    sentence: str
    told_at: Instant
    deliveries: list[DeliveryTold]


class BudgetStands(Answer):
    """Budgets tell; they stop nothing."""

    account_id: str
    month: MonthName
    zone: str
    currency: str
    budgets: list[Stands]
    told: list[AlertTold]


class QuotedGroup(Answer):
    price: str = Field(description="in words, for one dial of a minute")
    destinations: int
    dials: int
    low: Exact
    likely: Exact
    high: Exact


class Quoted(Answer):
    """What a campaign will cost, with tax; groups add up to it."""

    account_id: str
    currency: str
    dials: int
    unpriced: int = Field(description="dials that have no price and are left out")
    low: Exact
    likely: Exact
    high: Exact
    answer_percent: ForecastRange
    minutes_per_dial: ForecastRange
    groups: list[QuotedGroup]
    method: str


class Problem(BaseModel):
    """What went wrong and what to do (RFC 9457)."""

    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["account 'acme' has no usage in 2026-01"])


_SAID = {
    401: "No token, or one that is not known",
    403: "A token of another account, or without the scope",
    404: "An account, month or event that is not known",
    422: "What was asked for can be none",
    429: "Too many requests; Retry-After says when",
    503: "The store does not answer",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": said,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status, said in _SAID.items()
}
