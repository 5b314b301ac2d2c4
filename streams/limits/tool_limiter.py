"""Takes a tool call through its limits: a shared answer, the breaker, a place, a grant; then makes it, in time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from streams import clock
from streams.define.policies import Reject
from streams.limits.breakers import OF_HOST
from streams.limits.rate_limit_client import RateLimit, RateLimitClient
from streams.limits.semaphore_client import Semaphore, SemaphoreClient
from streams.limits.single_flight import Confirm, SharedCall, SingleFlight
from streams.model.hash import tool_hash
from streams.model.reach import host_of
from streams.runtime.errors import WorkerError

if TYPE_CHECKING:
    from streams.define.tools import Tool
    from streams.limits.breakers import BreakerRegistry
    from streams.limits.circuit import CircuitBreaker

HOME: str = "default"  # tools are shared by all pools, so their limits live in one

Call = Callable[["Tool[Any]"], Awaitable[Any]]
Prove = Callable[[str], Awaitable[None]]


class GrantLateError(WorkerError):
    """Raised in place of a call whose grant was used too late: another one has to be asked for."""


def limited(tool: Tool[Any]) -> bool:
    """Return whether a tool has a limit whose home is here; others never come near this module."""
    return tool.rate is not None or tool.cache is not None or tool.breaker is not None or tool.concurrency is not None


class ToolLimiter:
    """The limits of tools in one worker."""

    def __init__(
        self,
        rate_limits: RateLimitClient,
        semaphores: SemaphoreClient,
        shared_calls: SingleFlight,
        breakers: BreakerRegistry,
        prove: Prove,
    ) -> None:
        """`prove` waits until this worker is sure that it owns the partition of a run."""
        self._rate_limits = rate_limits
        self._semaphores = semaphores
        self._shared_calls = shared_calls
        self._breakers = breakers
        self._prove = prove

    async def call(
        self, run_id: str, tool: Tool[Any], args: Any, scope: asyncio.Timeout, begin: Call
    ) -> tuple[Any, bool]:
        """Return the result and whether it was found instead of made.

        `scope` is the attempt's time-out, which runs only while the call itself does. `begin` makes the call with the
        tool that it is given. Raises what the tool raises, and BreakerOpenError.
        """
        limit = scope.when()
        span = None if limit is None else limit - asyncio.get_running_loop().time()
        scope.reschedule(None)
        limited_call = _LimitedCall(self, run_id, tool, scope, span, begin, args)
        if tool.cache is None:
            return await limited_call.through(_nothing)
        cached = SharedCall(tool_hash(tool.name, tool.version, args), tool.cache, span or tool.timeout, run_id)
        return await self._shared_calls.through(cached, limited_call.through)

    async def placed(self, limited_call: _LimitedCall, confirm: Confirm) -> tuple[Any, bool]:
        """Hold a place of the tool's concurrency around the call and its wait for a grant."""
        tool = limited_call.tool
        circuit = None if tool.breaker is None else self._breakers.circuit(limited_call.circuit, tool.breaker)
        if tool.concurrency is None:
            return await self._admitted(limited_call, confirm, circuit)
        semaphore = Semaphore(HOME, f"tool:{tool.name}", tool.concurrency)
        await self._semaphores.take(semaphore)
        try:
            return await self._admitted(limited_call, confirm, circuit)
        finally:
            self._semaphores.free(semaphore)

    async def _admitted(
        self, limited_call: _LimitedCall, confirm: Confirm, circuit: CircuitBreaker | None
    ) -> tuple[Any, bool]:
        """Wait for a grant, make the call; again if the grant was used too late."""
        tool = limited_call.tool
        while True:
            if circuit is not None:
                self._breakers.require_not_forced(tool.name)
                await self._breakers.clear(circuit)
            deadline = None
            if tool.rate is not None:
                deadline = await self._rate_limits.take(RateLimit(HOME, limited_call.rate_name, tool.rate))
            found = await confirm()
            if found is not None:
                return found[0], True
            await self._prove(limited_call.run_id)
            if circuit is not None and not self._breakers.enter(circuit):
                continue
            try:
                with self._counted(circuit):
                    return await limited_call.make(deadline), False
            except GrantLateError:
                continue

    @contextlib.contextmanager
    def _counted(self, circuit: CircuitBreaker | None) -> Iterator[None]:
        """Report to the breaker how a call ended; a refusal, a late grant or a cancelled run does not count."""
        ok: bool | None = None
        try:
            yield
            ok = True
        except (GrantLateError, Reject):
            raise
        except Exception:
            ok = False
            raise
        finally:
            if circuit is not None:
                self._breakers.ended(circuit, ok=ok)


class _LimitedCall:
    """One attempt on its way through the limits."""

    __slots__ = ("_begin", "_guard", "_scope", "_span", "circuit", "rate_name", "run_id", "tool")

    def __init__(
        self,
        guard: ToolLimiter,
        run_id: str,
        tool: Tool[Any],
        scope: asyncio.Timeout,
        span: float | None,
        begin: Call,
        args: Any,
    ) -> None:
        """`args` are the call's arguments: a breaker and a rate may be those of the host in one of them."""
        self._guard = guard
        self.run_id = run_id
        self.tool = tool
        self._scope = scope
        self._span = span
        self._begin = begin
        self.circuit = circuit_name(tool, args)
        host = _host_in(args, None if tool.rate is None else tool.rate.host)
        self.rate_name = f"tool:{tool.name}{OF_HOST}{host}" if host else f"tool:{tool.name}"

    async def through(self, confirm: Confirm) -> tuple[Any, bool]:
        """Go through places, grants and breaker, to the call."""
        return await self._guard.placed(self, confirm)

    async def make(self, deadline: float | None) -> Any:
        """Make the call within the attempt's time, which begins now."""
        tool = self.tool if deadline is None else dataclasses.replace(self.tool, fn=in_time(self.tool.fn, deadline))
        if self._span is not None:
            self._scope.reschedule(asyncio.get_running_loop().time() + self._span)
        try:
            value = await self._begin(tool)
        except asyncio.CancelledError:
            if self._scope.expired():
                raise TimeoutError from None  # a failure of the tool, for others who wait for it, too
            raise
        self._scope.reschedule(None)  # what follows is ours, and must not fail a call that has been made
        return value


def circuit_name(tool: Tool[Any], args: Any) -> str:
    """Return the name of a call's breaker: that of its tool, or of the host that it goes to where the tool says so."""
    host = _host_in(args, None if tool.breaker is None else tool.breaker.per)
    return f"{tool.name}{OF_HOST}{host}" if host else tool.name


def _host_in(args: Any, argument: str | None) -> str:
    """Return the host of the URL in an argument; empty if no argument is named or it holds no URL."""
    return host_of(str(args.get(argument) or "")) if argument is not None and isinstance(args, dict) else ""


async def _nothing() -> None:
    return


def in_time(fn: Callable[..., Any], deadline: float) -> Callable[..., Any]:
    """Return `fn` with a look at the clock right before it, in the thread where it runs; raises GrantLateError."""

    def check() -> None:
        if clock.monotonic() > deadline:
            raise GrantLateError("the grant was not used in time")

    if inspect.iscoroutinefunction(fn):

        async def waits(**arguments: Any) -> Any:
            check()
            return await fn(**arguments)

        return waits

    def blocks(**arguments: Any) -> Any:
        check()
        return fn(**arguments)

    return blocks
