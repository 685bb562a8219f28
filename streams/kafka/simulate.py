"""Realistic traffic: a seeded stream of events of every kind, for demos and load.

More by day than by night, short calls common and long ones rare, dials mostly unanswered with
voice detection on each, texts in both directions, numbers and recordings now and then. The same
seed and the same times give the same events.
"""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

AREA_CODES = ("212", "415", "310", "512", "305", "206", "312", "617")
ABROAD = ("+442079460", "+33612345", "+4930123456", "+14165550", "+525512345")
CARRIERS = ("AT&T", "T-Mobile", "Verizon", "US Cellular", "Regional One")
CAMPAIGNS = ("Spring sale", "Renewals", "Win back")  # campaign-1 and so on
PRODUCTS = ("office-phone", "power-dialer", "a-i-assistant")
USERS = {"sales": ("ana", "ben", "chloe"), "support": ("dev", "ines")}  # by team

OPENED = datetime(2026, 1, 1, tzinfo=UTC)

# Shares of the kinds among the events of a running hour.
MIX = (("call", 30), ("text", 38), ("dial", 24), ("recording", 3), ("number", 0.2))


class Simulated(NamedTuple):
    """An event on its way to its topic."""

    kind: str
    account_id: str
    value: bytes


def diurnal(at: datetime) -> float:
    """The share of the day's peak at an hour: 0.15 by night, 1.0 at 15:00 UTC."""
    hour = at.hour + at.minute / 60
    return 0.575 + 0.425 * math.cos((hour - 15) / 24 * 2 * math.pi)


class Simulator:
    """Makes events that have just happened by the time they are given."""

    def __init__(self, *, seed: int = 1, accounts: int = 3) -> None:
        self.draw_by(str(seed))
        names = ("acme", "globex", "initech", "umbrella", "hooli")
        self.accounts = [
            names[i] if i < len(names) else f"account-{i:04d}" for i in range(accounts)
        ]
        self._numbers = {account: [self._us()] for account in self.accounts}
        self._users = [(user, team) for team, users in USERS.items() for user in users]

    def draw_by(self, seed: str) -> None:
        """What happens from here on is drawn anew, by this seed."""
        self._random, self._seed, self._count = random.Random(seed), seed, 0

    def opening(self) -> Iterator[Simulated]:
        """What stands already: each account's numbers, its campaigns, its subscriptions.

        The identities are the same at every start, so a second start adds nothing.
        """
        for account in self.accounts:
            own = random.Random(account)
            numbers = [f"+1{own.choice(AREA_CODES)}5550{own.randrange(100, 200)}" for _ in range(3)]
            numbers.append(f"+1888555{own.randrange(10_000):04d}")
            self._numbers[account] = numbers
            for number in numbers:
                yield self._event(
                    "number", account, f"opening-{account}-{number}", number=number,
                    number_type="tollfree" if number.startswith("+1888") else "local",
                    acquired_at=OPENED + timedelta(days=own.randrange(200)),
                )  # fmt: skip
            for place, name in enumerate(CAMPAIGNS, start=1):
                yield self._event(
                    "campaign", account, f"opening-{account}-campaign-{place}",
                    campaign_id=f"campaign-{place}", name=name, detection=place < len(CAMPAIGNS),
                    effective_at=OPENED + timedelta(days=30),
                )  # fmt: skip
            for product in own.sample(PRODUCTS, 2):
                yield self._event(
                    "subscription", account, f"opening-{account}-{product}",
                    subscription_id=f"{account}-{product}", product=product,
                    started_at=OPENED + timedelta(days=40),
                )  # fmt: skip

    def happen(self, now: datetime) -> list[Simulated]:
        """The event, or for a dial the two, that happened just before `now`."""
        chance = self._random
        account = chance.choices(self.accounts, range(len(self.accounts), 0, -1))[0]
        kind = chance.choices([name for name, _ in MIX], [share for _, share in MIX])[0]
        self._count += 1
        id_ = f"{self._seed}-{now:%Y%m%d%H%M%S%f}-{self._count}"
        if kind == "text":
            return [self._text(account, id_, now)]
        if kind == "recording":
            return [
                self._event(
                    "recording", account, id_, recording_id=f"rec-{id_}", stored_at=now,
                    duration_s=self._seconds(90),
                )
            ]  # fmt: skip
        if kind == "number":
            # Bought and given back at once, now and then: churn.
            number = self._us()
            return [
                self._event(
                    "number", account, id_, number=number, number_type="local",
                    acquired_at=now - timedelta(days=2),
                    released_at=now if chance.random() < 0.5 else None,
                )
            ]  # fmt: skip
        return self._call(kind, account, id_, now)

    def _call(self, kind: str, account: str, id_: str, now: datetime) -> list[Simulated]:
        chance = self._random
        answered = chance.random() < (0.35 if kind == "dial" else 0.8)
        rings_s = min(1 + int(chance.expovariate(1 / 9)), 45)
        talks_s = self._seconds(40 if kind == "dial" else 150) if answered else 0
        ended = now - timedelta(milliseconds=chance.randrange(400))
        dialed = ended - timedelta(seconds=rings_s + talks_s)
        answered_at = dialed + timedelta(seconds=rings_s) if answered else None
        inbound = kind == "call" and chance.random() < 0.4
        own = chance.choice(self._numbers[account])
        far = self._far(inbound)
        user, team = chance.choice(self._users)
        facts: dict[str, Any] = {
            "direction": "inbound" if inbound else "outbound",
            "from": far if inbound else own,
            "to": own if inbound else far,
            "dialed_at": dialed,
            "answered_at": answered_at,
            "ended_at": ended,
            "status": "completed" if answered else chance.choice(("no-answer", "busy", "canceled")),
            "device": chance.choice(("web", "web", "cell")),
            "user_id": user,
            "team": team,
        }
        if kind == "call":
            video = chance.random() < 0.08
            return [self._event("call", account, id_, media="video" if video else "voice", **facts)]
        campaign = f"campaign-{chance.randrange(len(CAMPAIGNS)) + 1}"
        verdict = chance.choice(("human", "machine", "machine", "fax", "unknown"))
        return [
            self._event("dial", account, id_, campaign_id=campaign, **facts),
            self._event(
                "amd", account, f"amd-{id_}", call_id=id_, campaign_id=campaign,
                dialed_at=dialed, answered_at=answered_at,
                verdict=verdict if answered else "unknown",
            ),
        ]  # fmt: skip

    def _text(self, account: str, id_: str, now: datetime) -> Simulated:
        chance = self._random
        inbound = chance.random() < 0.45
        own, far = chance.choice(self._numbers[account]), self._us()
        user, team = (None, None) if inbound else chance.choice(self._users)
        return self._event(
            "text", account, id_,
            direction="inbound" if inbound else "outbound",
            media="mms" if chance.random() < 0.12 else "sms",
            sent_at=now - timedelta(milliseconds=chance.randrange(400)),
            status="received" if inbound else chance.choice(("sent", "delivered", "failed")),
            registered=chance.random() < 0.85,
            carrier=chance.choice(CARRIERS),
            sender=chance.choice(("10dlc", "10dlc", "tollfree")),
            segments=1 + int(chance.expovariate(1.2)),
            user_id=user,
            team=team,
            **{"from": far if inbound else own, "to": own if inbound else far},
        )  # fmt: skip

    def _seconds(self, mean_s: float) -> int:
        """Short is common, long is rare, at most two hours."""
        return min(int(self._random.lognormvariate(math.log(mean_s) - 0.5, 1.0)), 7_200)

    def _us(self) -> str:
        chance = self._random
        return f"+1{chance.choice(AREA_CODES)}555{chance.randrange(10_000):04d}"

    def _far(self, inbound: bool) -> str:
        roll = self._random.random()
        if inbound and roll < 0.05:
            return "anonymous"
        if not inbound and roll < 0.08:
            return f"{self._random.choice(ABROAD)}{self._random.randrange(100, 1000)}"
        return self._us()

    def _event(self, kind: str, account: str, id_: str, **facts: Any) -> Simulated:
        present = {name: fact for name, fact in facts.items() if fact is not None}
        event = {"kind": kind, "id": id_, "account_id": account} | present
        return Simulated(kind, account, orjson.dumps(event))
