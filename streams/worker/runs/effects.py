"""Performs what machines ask for: model calls, tool calls and steps, each an attempt in a task of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streams import clock
from streams.activity import LABEL, Watched, label
from streams.engine.messages import EffectDone, ErrorInfo
from streams.engine.run import current_key
from streams.limits.call_budget import ToolCallBudget
from streams.limits.tool_limiter import limited
from streams.model.ramp import Ramp
from streams.model.reach import reaching
from streams.telemetry import conceal
from streams.tools._call import call_tool
from streams.tools._call_records import tool_record
from streams.tools._soft_timeout import hard_limit_of, out_of_time
from streams.tools._steps import call_step
from streams.user_code import is_cancelled, is_closed
from streams.worker.runs.nested_calls import NestedCalls

if TYPE_CHECKING:
    from streams.define.tools import Tool
    from streams.engine.decision import Perform
    from streams.limits.budget_client import BudgetClient, Spender
    from streams.limits.tool_limiter import ToolLimiter
    from streams.runtime.tasks import BackgroundTasks
    from streams.worker.runs.model_caller import ModelCaller

Done = Callable[[EffectDone], None]


class EffectRunner:
    """Starts attempts and reports how they ended; decides nothing."""

    def __init__(
        self,
        tasks: BackgroundTasks,
        asking: ModelCaller,
        guard: ToolLimiter,
        budget_client: BudgetClient,
        probe: Callable[[str], None],
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        """Run attempts as `tasks`; `asking` asks the model; `guard` applies limits, `budget_client` budgets.

        `progressed` is called when an attempt has ended.
        """
        self._progressed = progressed
        self._under_way: Counter[int] = Counter()  # attempts by partition
        self._budget_client = budget_client
        self._guard = guard
        self._probe = probe
        self._tasks = tasks
        self._asking = asking
        self._ramp = Ramp()
        self.running = 0
        self.computing = 0  # attempts without an effect outside: most are over in a turn of the loop

    def start(self, spender: Spender, perform: Perform, done: Done, partition: int = -1) -> asyncio.Task[None]:
        """Start an attempt for a run of a partition; `done` gets its outcome unless the task is cancelled."""
        text = label("run", partition, spender.run_id, f"{spender.agent.name}, {perform.kind} {perform.name}")
        task = self._tasks.spawn(Watched(text, self._attempt(spender, perform, done, text)))
        self._under_way[partition] += 1
        task.add_done_callback(lambda _: self._ended(partition))
        if perform.pure:
            self.computing += 1
            task.add_done_callback(self._computed)
        return task

    def under_way(self, partition: int) -> int:
        """Return how many attempts of runs of a partition have begun and not ended."""
        return self._under_way[partition]

    def _ended(self, partition: int) -> None:
        self._under_way[partition] -= 1
        self._progressed()

    def _computed(self, _task: asyncio.Task[None]) -> None:
        self.computing -= 1

    async def _attempt(self, spender: Spender, perform: Perform, done: Done, text: bytes) -> None:
        LABEL.set(text)
        self._probe("effect begins")
        report = EffectDone(perform.path, perform.resume, perform.attempt, started_ms=clock.now_ms())
        report.encoded = perform.kind != "step"
        self.running += 1
        current_key.set(perform.idempotency_key)  # of this task's context only
        scope: asyncio.Timeout | None = None
        own = asyncio.current_task()
        try:
            if perform.kind == "step" and perform.timeout is None:
                report.value = await call_step(perform)
            else:
                scope = asyncio.timeout(hard_limit_of(perform))
                async with scope:
                    if perform.kind == "llm":  # thousands wait here: one frame less for each
                        await self._ramp.turn()
                        await self._asking(spender, perform, report)
                    else:
                        await self._run(spender, perform, report, scope)
        except BaseException as error:
            # User code and the outside may raise anything: it is the attempt's outcome, unless we asked for the end.
            if is_closed(error, own) or (isinstance(error, asyncio.CancelledError) and is_cancelled(own)):
                raise
            expired = scope is not None and scope.expired()
            report.error = ErrorInfo.of(error, timed_out=expired or out_of_time(error))
        finally:
            self.running -= 1
        report.finished_ms = clock.now_ms()
        self._probe("effect done")
        done(report)

    async def _run(self, spender: Spender, perform: Perform, report: EffectDone, scope: asyncio.Timeout) -> None:
        if perform.kind == "tool" and perform.tool is not None:
            await self._tool(spender, perform.tool, perform, report, scope)
        elif perform.fn is not None:
            report.value = await call_step(perform)

    async def _tool(
        self, spender: Spender, tool: Tool[Any], perform: Perform, report: EffectDone, scope: asyncio.Timeout
    ) -> None:
        run_id = spender.run_id
        nested = NestedCalls(self._guard, run_id, perform, report)
        call_budget = ToolCallBudget(
            self._budget_client, spender, f"{run_id}/{perform.path}/{perform.resume}/{perform.attempt}"
        )
        report.parked = await call_budget.hold(scope)
        if report.parked is not None:
            return
        try:
            await self._called(run_id, tool, perform, report, scope, nested)
        finally:
            report.also += call_budget.settled(nested.made)

    async def _called(
        self,
        run_id: str,
        tool: Tool[Any],
        perform: Perform,
        report: EffectDone,
        scope: asyncio.Timeout,
        nested: NestedCalls,
    ) -> None:
        async def begin(bounded: Tool[Any]) -> Any:
            report.started_ms = clock.now_ms()
            nested.made += 1
            try:
                with nested.here(), reaching(perform.hosts):
                    return conceal(await call_tool(bounded, perform.args, idempotency_key=perform.idempotency_key))
            except BaseException as error:
                place = (run_id, perform.path, perform.attempt)
                report.calls.append(tool_record(*place, tool, perform.args, None, report.started_ms, error=error))
                raise

        if limited(tool):
            report.value, report.recorded = await self._guard.call(run_id, tool, perform.args, scope, begin)
        else:
            report.value = await begin(tool)
        if not report.recorded:  # an answer that was found has its record already, from when it was paid for
            report.calls.append(
                tool_record(run_id, perform.path, perform.attempt, tool, perform.args, report.value, report.started_ms)
            )
