"""Runs an agent's machine to its end in memory, with the real `ask` and `call_tool`."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schemas import Event
from schemas.run import RunSubmitted
from streams.define.agents import Agent
from streams.engine.decision import Decision, Perform
from streams.engine.machine import Machine
from streams.engine.messages import ChildDone, EffectDone, ErrorInfo, Start, Submit, TimerFired
from streams.model.ask import ask
from streams.model.reach import reaching
from streams.tools._call import call_tool
from streams.tools._wishes import spec_of

if TYPE_CHECKING:
    from streams.model.chat import ChatModel


@dataclass
class Ended:
    """What a run left behind."""

    status: str = "running"
    result: Any = None
    error: Any = None
    events: list[Event] = field(default_factory=list)
    progress: list[int] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    performed: list[str] = field(default_factory=list)


async def drive(agent: Agent[Any, Any], given: Any, model: ChatModel, *, run_id: str = "r1") -> Ended:
    """Run an agent and the agents it calls; time passes as timers ask for it."""
    machine, ended, now = Machine(agent, run_id), Ended(), 1_000
    submitted = RunSubmitted(run_id=run_id, agent=agent.name, input=given.model_dump(mode="json"))
    decisions = [machine.handle(Submit(submitted), now), machine.handle(Start(), now)]
    timers: list[Any] = []
    while True:
        messages: list[Any] = []
        effects: list[Perform] = []
        for decision in decisions:
            _note(decision, ended)
            effects += decision.perform
            timers += decision.timers
            called = [output.event for output in decision.outputs if output.to == "agents"]
            messages += [await _child(machine, event, model, ended) for event in called]
        if ended.status != "running":
            return ended
        messages += await asyncio.gather(*(_perform(effect, model, ended) for effect in effects))
        if not messages:
            timer = min(timers, key=lambda timer: timer.due_ms)
            timers.remove(timer)
            now = max(now, timer.due_ms)
            messages.append(TimerFired(timer.path, timer.due_ms))
        decisions = [machine.handle(message, now := now + 1) for message in messages]


def _note(decision: Decision, ended: Ended) -> None:
    ended.progress += [entry.progress for entry in decision.entries if entry.progress is not None]
    staged = [entry.stage for entry in decision.entries if entry.stage]
    ended.stages = list(dict.fromkeys([*ended.stages, *staged]))
    ended.events += [output.event for output in decision.outputs if output.to == "events"]
    for output in decision.outputs:
        if output.to == "runs" and type(output.event).__name__ in {"RunSucceeded", "RunFailed", "RunCancelled"}:
            ended.status = output.event.event_type.rpartition(".")[2]
            ended.result = getattr(output.event, "result", None)
            ended.error = getattr(output.event, "error", None)


async def _child(parent: Machine, event: Any, model: ChatModel, ended: Ended) -> ChildDone:
    called = _known()[event.agent]
    child = await drive(called, called.input_type.model_validate(event.input), model, run_id=event.run_id)
    ended.events += child.events
    ended.performed += child.performed
    return ChildDone(event.parent_path, event.run_id, 1, child.status, child.result, child.error, {})


def _known() -> dict[str, Agent[Any, Any]]:
    from streams.app import discover

    return dict(discover().agents)


async def _perform(effect: Perform, model: ChatModel, ended: Ended) -> EffectDone:
    ended.performed.append(f"{effect.kind} {effect.name}")
    args = effect.args
    try:
        if effect.kind == "llm":
            specs = [spec_of(tool) for tool in effect.tools]
            answered = await ask(
                model, args["prompt"], args["args"], returns=effect.returns, params=args["params"], tools=specs
            )
            value = answered.value
        elif effect.tool is not None:
            with reaching(effect.hosts):  # in a task of its own
                value = await call_tool(effect.tool, args, idempotency_key=effect.idempotency_key)
        else:
            assert effect.fn is not None
            value = effect.fn(*args["args"], **args["kwargs"])
            value = await value if inspect.isawaitable(value) else value
    except Exception as error:  # noqa: BLE001 - as the worker does
        return EffectDone(effect.path, effect.resume, effect.attempt, error=ErrorInfo.of(error))
    return EffectDone(effect.path, effect.resume, effect.attempt, value)
