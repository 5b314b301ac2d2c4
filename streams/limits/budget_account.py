"""The arithmetic of one budget: what was used, what is held for calls under way, what is left; pure.

A call holds what it will use at least (its prompt, its `max_tokens`) before it is made, and settles what it has used
when it was answered. So a budget is overdrawn by no more than the calls that were under way used beyond their holds. A
hold whose worker died is forgotten after its time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple, Self

import orjson

from streams.choices import Budget


class BudgetAmount(NamedTuple):
    """Tokens in and out, US dollars, calls of models and tools."""

    tokens: int = 0
    usd: float = 0.0
    calls: int = 0

    def plus(self, other: BudgetAmount) -> BudgetAmount:
        """Return the sum."""
        return BudgetAmount(self.tokens + other.tokens, self.usd + other.usd, self.calls + other.calls)


AGENT_SCOPE: Final = "agent:"
"""What the scope of an agent's budget begins with."""

KINDS: Final = ("calls", "tokens", "usd")


class BudgetHold(NamedTuple):
    """What a call under way may use, until when (monotonic seconds) at the latest."""

    amount: BudgetAmount
    until: float
    holder: str = ""  # the process that makes the call; what a process held ends with it


class BudgetAccount:
    """One scope: its budget, and what it has used on its day (or, with an empty day, ever)."""

    __slots__ = ("alerted", "at_ms", "day", "given", "used")

    def __init__(self) -> None:
        """Begin with nothing used."""
        self.given: Budget | None = None  # by a person: it goes before what the code says
        self.used = BudgetAmount()
        self.day = ""
        self.alerted = ""  # the refusal that an alert was raised for
        self.at_ms = 0

    @classmethod
    def read(cls, row: bytes | None) -> Self:
        """Return what a row holds."""
        account = cls()
        if row is not None:
            fields: dict[str, Any] = orjson.loads(row)
            account.given = None if fields["given"] is None else Budget(**fields["given"])
            account.used = BudgetAmount(*fields["used"])
            account.day, account.alerted, account.at_ms = fields["day"], fields["told"], fields["at_ms"]
        return account

    def row(self) -> bytes:
        """Return the account as it is stored."""
        given = None if self.given is None else self.given.model_dump()
        fields = {"given": given, "used": list(self.used), "day": self.day, "told": self.alerted, "at_ms": self.at_ms}
        return orjson.dumps(fields)

    def turn(self, day: str) -> None:
        """Begin a day; one that is over is settled with the new one."""
        if day > self.day:
            self.day, self.used, self.alerted = day, BudgetAmount(), ""

    def refusal(
        self, scope: str, budget: Budget, held: BudgetAmount, wanted: BudgetAmount, kinds: Collection[str] = KINDS
    ) -> str | None:
        """Return why a call that uses `wanted` at least may not begin, None if it may.

        `kinds` are those that it can use anything of: a tool uses no tokens, so it may go on where these are spent.
        """
        limit = budget if self.given is None else self.given
        taken = self.used.plus(held)
        when = f" of {self.day}" if self.day else ""
        for name in KINDS:
            most, used, more = getattr(limit, name), getattr(taken, name), getattr(wanted, name)
            if name in kinds and most is not None and (used >= most or used + more > most):
                return (
                    f"the budget of {scope}{when} is spent: {_text(name, used)} of {_text(name, most)} used or under "
                    f"way, {_text(name, more)} more needed; raise it with `streams budgets set {scope}`"
                )
        return None


def held(holds: dict[str, BudgetHold], now: float) -> BudgetAmount:
    """Return what is under way, and forget what has been for too long."""
    for name in [name for name, hold in holds.items() if hold.until <= now]:
        del holds[name]
    total = BudgetAmount()
    for hold in holds.values():
        total = total.plus(hold.amount)
    return total


def _text(name: str, amount: float) -> str:
    return f"${amount:.4f}" if name == "usd" else f"{amount:,.0f} {name}"
