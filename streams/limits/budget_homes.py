"""The homes of budgets: the partition of a scope's name has its account, as a row of the ledger.

What was used comes as records on `signals`, written in the unit that records the answer, so that nothing is lost or
counted twice. Holds live in memory: when a home moves, those of calls under way are forgotten; they end with their
call, and with the process that makes it.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from schemas.alert import AlertRaised, AlertResolved
from schemas.usage import BudgetChanged, BudgetSpent
from streams import clock
from streams.choices import Budget
from streams.engine.decision import Output
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER
from streams.limits.budget_account import AGENT_SCOPE, KINDS, BudgetAccount, BudgetAmount, BudgetHold, held
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed
from streams.runtime.errors import DeadAssignmentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.journal.record_writer import RecordWriter
    from streams.limits.peers import Peers
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.runtime import Runtime

_AWAY: Final = {"away": True}
_PERIOD_S: Final = 60.0
_LOOK: Final = 1000  # rows of a partition in one go


class BudgetHomes:
    """All accounts whose home is an assignment of this worker."""

    def __init__(self, runtime: Runtime, peers: Peers, writer: RecordWriter, pool: str, *, days: float) -> None:
        """Answer for the agents of `pool`; accounts that rest for `days` are forgotten."""
        self._retention_ms = days * 86_400_000
        self._next: dict[int, bytes] = {}
        self._runtime = runtime
        self._peers = peers
        self._writer = writer
        self._pool = pool
        self._holds: dict[PartitionAssignment, dict[str, dict[str, BudgetHold]]] = {}
        self._asked: dict[PartitionAssignment, dict[str, Budget]] = {}  # of agents, as the last call gave them

    def restored(self, owned: PartitionAssignment) -> None:
        """Be the home of the accounts of an assignment."""
        self._holds[owned], self._asked[owned] = {}, {}
        owned.on_death.append(lambda: self._gone(owned))

    def take(self, batch: RecordBatch, event: BudgetSpent | BudgetChanged) -> None:
        """Settle what was used, or take another budget."""
        store, key = batch.assignment.stores[LEDGER], store_keys.BUDGET + event.scope.encode()
        account = BudgetAccount.read(store.get(key))
        alerted = account.alerted
        if isinstance(event, BudgetSpent):
            account.turn(event.day)
            if event.day == account.day:  # what was used yesterday and settled today counts for nothing any more
                account.used = account.used.plus(BudgetAmount(event.tokens, event.usd, event.calls))
            self._let_go(batch.assignment, event.scope, event.hold)
        else:
            account.given = Budget(tokens=event.tokens, usd=event.usd, calls=event.calls) or None
            account.alerted = ""
        account.at_ms = clock.now_ms()
        batch.put(store, key, account.row())
        if alerted and not account.alerted:
            gone = AlertResolved(alert=alert_of(event.scope), summary="another budget", at_ms=account.at_ms)
            self._writer.send(batch, Output("events", gone, f"{alert_of(event.scope)}/{account.at_ms}", gone.alert))

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Hold something of a scope's budget for a call (`{"held": true}` or `{"spent": why}`), or let go of a hold."""
        scope = str(body["scope"])
        owned = self._peers.here(self._pool, scope)
        if owned is None or owned not in self._holds:
            return dict(_AWAY)
        try:
            if not self._runtime.committer.proven():
                await committed(self._runtime.committer, CommitUnit(owned))
            self._let_go(owned, scope, str(body["hold"]))
            return {} if body["do"] == "free" else await self._hold(owned, scope, body)
        except (DeadAssignmentError, KeyError):
            return dict(_AWAY)

    async def _hold(self, owned: PartitionAssignment, scope: str, body: dict[str, Any]) -> dict[str, Any]:
        now, name = clock.monotonic(), str(body["hold"])
        account = BudgetAccount.read(owned.stores[LEDGER].get(store_keys.BUDGET + scope.encode()))
        account.turn(str(body["day"]))
        wanted = BudgetAmount(*body["wanted"])
        budget, kinds = Budget(**body["budget"]), body.get("kinds", KINDS)
        if scope.startswith(AGENT_SCOPE):
            self._asked[owned][scope] = budget
        why = account.refusal(scope, budget, self._held(owned, scope, now), wanted, kinds)
        if why is None:
            hold = BudgetHold(wanted, now + float(body["seconds"]), str(body.get("holder", "")))
            self._holds[owned].setdefault(scope, {})[name] = hold
            return {"held": True}
        if not account.alerted:
            await self._raise_alert(owned, scope, account, why)
        return {"spent": why}

    async def _raise_alert(self, owned: PartitionAssignment, scope: str, account: BudgetAccount, why: str) -> None:
        """Raise an alert, once until the budget is changed or its day is over."""
        account.alerted, account.at_ms = why, clock.now_ms()
        event = AlertRaised(
            alert=alert_of(scope),
            severity="warning",
            summary=f"The budget of {scope} is spent"[:120],
            detail=why,
            at_ms=account.at_ms,
        )
        unit = CommitUnit(owned)
        unit.put(owned.stores[LEDGER], store_keys.BUDGET + scope.encode(), account.row())
        self._writer.send(unit, Output("events", event, f"{event.alert}/{account.at_ms}", event.alert))
        await committed(self._runtime.committer, unit)

    def left_today(self) -> Iterator[tuple[tuple[str, str], float]]:
        """Yield scope, kind and rest of each agent's budget that calls have drawn on since this worker is its home."""
        for owned, budgets in self._asked.items():
            for scope, budget in budgets.items():
                account = BudgetAccount.read(owned.stores[LEDGER].committed(store_keys.BUDGET + scope.encode()))
                account.turn(clock.today())
                limit = account.given or budget
                taken = account.used.plus(self._held(owned, scope, clock.monotonic()))
                for kind in KINDS:
                    most = getattr(limit, kind)
                    if most is not None:
                        yield (scope, kind), max(most - getattr(taken, kind), 0)

    def rows(self) -> list[dict[str, Any]]:
        """Return the accounts whose home is here, for people to read; of runs those that are spent or were changed."""
        return [row for owned in self._holds for row in self._rows(owned)]

    def _rows(self, owned: PartitionAssignment) -> Iterator[dict[str, Any]]:
        for key, row in owned.stores[LEDGER].scan_committed(store_keys.BUDGET):
            scope, account = key.removeprefix(store_keys.BUDGET).decode(), BudgetAccount.read(row)
            if scope.startswith("run:") and not account.alerted and account.given is None:
                continue
            under_way = self._held(owned, scope, clock.monotonic())
            yield {
                "scope": scope,
                "pool": self._pool,
                "day": account.day or None,
                "used": account.used._asdict(),
                "under_way": under_way._asdict(),
                "given": None if account.given is None else account.given.model_dump(),
                "spent": account.alerted or None,
                "updated_at": clock.iso(account.at_ms),
            }

    async def run(self) -> None:
        """Forget what nobody has used for long, a little at a time, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            for owned in list(self._holds):
                if owned.live and owned.ready:
                    self.sweep(owned, clock.now_ms())

    def sweep(self, owned: PartitionAssignment, now_ms: int) -> None:
        """Delete accounts of an assignment that are as old as no history is; those that a person gave a budget stay."""
        start = self._next.get(owned.partition)
        rows = list(islice(owned.stores[LEDGER].scan_committed(store_keys.BUDGET, start), _LOOK))
        self._next[owned.partition] = rows[-1][0] + b"\x00" if len(rows) == _LOOK else store_keys.BUDGET
        unit = CommitUnit(owned)
        for key, row in rows:
            account = BudgetAccount.read(row)
            if account.given is None and now_ms - account.at_ms > self._retention_ms:
                unit.put(owned.stores[LEDGER], key, None)
        if unit.writes:
            self._runtime.committer.add(unit)

    def holders(self) -> set[str]:
        """Return the processes that hold something."""
        every = (hold for scopes in self._holds.values() for holds in scopes.values() for hold in holds.values())
        return {hold.holder for hold in every if hold.holder}

    def left(self, holder: str) -> None:
        """Release what a process held that is gone."""
        for owned, scopes in self._holds.items():
            for scope, holds in list(scopes.items()):
                for name in [name for name, hold in holds.items() if hold.holder == holder]:
                    self._let_go(owned, scope, name)

    def _held(self, owned: PartitionAssignment, scope: str, now: float) -> BudgetAmount:
        """Return what is held of a scope; nothing is remembered of a scope without holds."""
        scopes = self._holds[owned]
        amount = held(scopes.get(scope, {}), now)
        if not scopes.get(scope, True):
            del scopes[scope]
        return amount

    def _let_go(self, owned: PartitionAssignment, scope: str, hold: str) -> None:
        scopes = self._holds.get(owned, {})
        holds = scopes.get(scope)
        if holds is not None:
            holds.pop(hold, None)
            if not holds:
                del scopes[scope]

    def _gone(self, owned: PartitionAssignment) -> None:
        self._holds.pop(owned, None)
        self._asked.pop(owned, None)


def alert_of(scope: str) -> str:
    """Return the name of the alert that a scope's budget is spent."""
    return f"budget/{scope}"
