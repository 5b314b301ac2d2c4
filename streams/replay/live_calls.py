"""Makes a call for real, where a replay is allowed to: the same ways as a worker's, without its limits and log.

What is written of it is masked as a worker masks it: a shadow topic is read by as many people as any other.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from schemas.call import CallRecorded
from streams import clock
from streams.define.signatures import underlying
from streams.engine.run import current_key
from streams.model.ask import ask
from streams.model.hash import call_hash, tool_hash
from streams.model.reach import reaching
from streams.replay.errors import ReplayError
from streams.telemetry import conceal, redact_json
from streams.tools._call import call_tool
from streams.tools._soft_timeout import softly
from streams.tools._threads import in_thread
from streams.user_code import awaited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.decision import Perform
    from streams.model.ask import Answered, CallMade
    from streams.model.chat import ChatModel


async def question(perform: Perform, model: ChatModel) -> Answered:
    """Put a run's question to a model, as every worker does; raises what the model raises."""
    given = perform.args
    returns = str if perform.returns is None else perform.returns
    answered = await ask(model, given["prompt"], given.get("args", ()), returns=returns, params=given.get("params"))
    return replace(answered, value=conceal(answered.value))


async def tool_call(run_id: str, perform: Perform) -> tuple[Any, CallRecorded]:
    """Call a tool and return its answer with the record of it; raises what the tool raises."""
    tool = perform.tool
    if tool is None:
        raise ReplayError(f"tool call {perform.name} has no tool: give run.tool() a @tool")
    began = clock.now_ms()
    with reaching(perform.hosts):
        answer = conceal(await call_tool(tool, perform.args, idempotency_key=perform.idempotency_key))
    made = CallRecorded(
        hash=tool_hash(tool.name, tool.version, perform.args),
        run_id=run_id,
        path=perform.path,
        attempt=perform.attempt,
        kind="tool",
        name=tool.name,
        version=tool.version,
        request=redact_json(perform.args),
        answer=answer,
        started_ms=began,
        finished_ms=clock.now_ms(),
    )
    return answer, made


async def step(perform: Perform) -> Any:
    """Run a step's function, a plain one in a thread; raises what it raises."""
    fn = perform.fn
    if fn is None:
        raise ReplayError(f"step {perform.name} has no function: give run.step() a callable")
    token = current_key.set(perform.idempotency_key)
    try:
        if inspect.iscoroutinefunction(underlying(fn)):
            running = fn(*perform.args["args"], **perform.args["kwargs"])
            return await awaited(softly(running, perform.timeout, perform.name))
        made = await in_thread(fn, *perform.args["args"], **perform.args["kwargs"])
        return await awaited(made) if inspect.isawaitable(made) else made
    finally:
        current_key.reset(token)


def records(run_id: str, perform: Perform, calls: Sequence[CallMade]) -> list[CallRecorded]:
    """Return requests to a model as records for the topic `calls`."""
    return [
        CallRecorded(
            hash=call.hash,
            run_id=run_id,
            path=perform.path,
            attempt=perform.attempt,
            kind=call.kind,
            name=call.name,
            version=call.version,
            request=redact_json(call.request),
            answer=conceal(call.answer),
            usage=call.usage.to_json(),
            started_ms=call.started_ms,
            finished_ms=call.finished_ms,
            asked=call_hash(call.kind, "", 1, call.request),
        )
        for call in calls
    ]
