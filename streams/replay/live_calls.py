"""Makes a call for real, where a replay is allowed to: the same ways as a worker's, without its limits and log.

What is written of it is masked as a worker masks it: a shadow topic is read by as many people as any other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from schemas.call import CallRecorded
from streams import clock
from streams.engine.run import current_key
from streams.model.ask import ask
from streams.model.reach import reaching
from streams.replay.errors import ReplayError
from streams.telemetry import conceal
from streams.tools._call import call_tool
from streams.tools._call_records import model_record, tool_record
from streams.tools._steps import call_step

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
    return answer, tool_record(run_id, perform.path, perform.attempt, tool, perform.args, answer, began)


async def step(perform: Perform) -> Any:
    """Run a step's function, a plain one in a thread; raises what it raises."""
    if perform.fn is None:
        raise ReplayError(f"step {perform.name} has no function: give run.step() a callable")
    token = current_key.set(perform.idempotency_key)
    try:
        return await call_step(perform)
    finally:
        current_key.reset(token)


def records(run_id: str, perform: Perform, calls: Sequence[CallMade]) -> list[CallRecorded]:
    """Return requests to a model as records for the topic `calls`."""
    return [model_record(run_id, perform, call) for call in calls]
