"""What a tool call draws on the budgets of calls: one for itself, and one for each that the tool makes in turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from streams.limits.budget_account import BudgetAmount

if TYPE_CHECKING:
    from streams.engine.decision import Output
    from streams.limits.budget_client import BudgetClient, BudgetReservation, Spender

_KINDS: Final = ("calls",)


class ToolCallBudget:
    """One attempt's place in the budgets of its run, from before the call until it is known what was made."""

    def __init__(self, budget_client: BudgetClient, spender: Spender, attempt: str) -> None:
        """Draw for `attempt`, a name that no other attempt has."""
        self._budget_client = budget_client
        self._spender = spender
        self._attempt = attempt
        self._held: BudgetReservation | None = None

    async def hold(self, scope: asyncio.Timeout) -> str | None:
        """Hold a call; return why it has to wait if a budget is spent. Meanwhile the time-out `scope` stands still."""
        if not self._budget_client.claims(self._spender):
            return None
        limit, loop = scope.when(), asyncio.get_running_loop()
        left = None if limit is None else limit - loop.time()
        scope.reschedule(None)
        got = await self._budget_client.hold(
            self._spender, self._attempt, BudgetAmount(calls=1), priced=True, kinds=_KINDS
        )
        scope.reschedule(None if left is None else loop.time() + left)
        if isinstance(got, str):
            return got
        self._held = got
        return None

    def settled(self, made: int) -> list[Output]:
        """Return the records that report `made` calls; what was held for none is let go."""
        if self._held is None:
            return []
        if made:
            return self._budget_client.settled(self._held, BudgetAmount(calls=made))
        self._budget_client.free(self._held)
        return []
