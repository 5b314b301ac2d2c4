"""Tool calls that a tool makes itself: each within the limits, retries and record of the tool that it calls."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streams import clock
from streams.engine.ids import seeded
from streams.engine.jsonable import digest
from streams.engine.messages import ErrorInfo
from streams.limits.tool_limiter import limited
from streams.telemetry import conceal
from streams.tools._call import call_tool
from streams.tools._call_records import tool_record
from streams.tools._inner import PERFORMS
from streams.tools._soft_timeout import hard_limit

if TYPE_CHECKING:
    from streams.define.tools import Tool
    from streams.engine.decision import Perform
    from streams.engine.messages import EffectDone
    from streams.limits.tool_limiter import ToolLimiter


class NestedCalls:
    """The inner calls of one attempt, numbered in the order in which they begin."""

    def __init__(self, guard: ToolLimiter, run_id: str, perform: Perform, report: EffectDone) -> None:
        """Keep the limits by `guard` and put the records into `report`."""
        self._guard = guard
        self._run_id = run_id
        self._perform = perform
        self._report = report
        self._number = itertools.count(1)
        self._equal: Counter[str] = Counter()  # calls begun, by what they call
        self.made = 0  # calls that were begun, that of the tool itself included

    @contextmanager
    def here(self) -> Iterator[None]:
        """Let tools that are called in this block call others."""
        token = PERFORMS.set(self.perform)
        try:
            yield
        finally:
            PERFORMS.reset(token)

    async def perform(self, tool: Tool[Any], args: dict[str, Any]) -> Any:
        """Return the result of one inner call as JSON; raise the error of its last attempt."""
        path = f"{self._perform.path}#{next(self._number)}"
        key = self._key(tool, args)
        for attempt in range(1, tool.retry.attempts + 1):
            try:
                return await self._attempt(tool, args, path, attempt, key)
            except Exception as error:
                failed = ErrorInfo.of(error)
                again = "Retry" in failed.types or tool.retry.allows(failed.types)
                if failed.rejected or attempt == tool.retry.attempts or not again:
                    raise
                delay = failed.after
            if delay is None:
                delay = tool.retry.delay(attempt, seeded(self._run_id, path, attempt))
            await asyncio.sleep(delay)
        raise AssertionError("a policy has at least one attempt")

    def _key(self, tool: Tool[Any], args: dict[str, Any]) -> str:
        """Return a key that a call has in every attempt of the outer tool, in whatever order its calls begin.

        It is made of what is called and, for equal calls, of how many of them came before.
        """
        called = digest(tool.name, tool.version, args)
        self._equal[called] += 1
        return f"{self._perform.idempotency_key}#{called}.{self._equal[called]}"

    async def _attempt(self, tool: Tool[Any], args: dict[str, Any], path: str, attempt: int, key: str) -> Any:
        started = clock.now_ms()

        async def begin(bounded: Tool[Any]) -> Any:
            nonlocal started
            started = clock.now_ms()
            self.made += 1
            try:
                return conceal(await call_tool(bounded, args, idempotency_key=key))
            except BaseException as error:
                failed = tool_record(self._run_id, path, attempt, tool, args, None, started, error=error)
                self._report.calls.append(failed)
                raise

        found = False
        async with asyncio.timeout(hard_limit(tool.fn, tool.timeout)) as scope:
            if limited(tool):
                value, found = await self._guard.call(self._run_id, tool, args, scope, begin)
            else:
                value = await begin(tool)
        if not found:
            self._report.calls.append(tool_record(self._run_id, path, attempt, tool, args, value, started))
        return value
