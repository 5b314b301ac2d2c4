"""Runs the canvas words inside a run: each is a plain coroutine over calls and gathers, so that any depth nests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from streams.define.agents import Agent, Bound
from streams.define.canvas import Batch, Chain, Chord, Group
from streams.define.tools import Tool
from streams.engine.jsonable import from_json, to_json
from streams.error_text import error_message, error_type
from streams.errors import ChildFailed, StepFailed

_NOTHING = object()


class CanvasRun(Protocol):
    """What a canvas asks of the run that it is in: `streams.engine.run.Run` is one."""

    def call_agent(
        self, agent: Agent[Any, Any], input: Any, *, timeout: float | None = None, priority: str | None = None
    ) -> Awaitable[Any]:
        """Call one agent."""

    def gather_all(self, work: Sequence[Any], *, return_exceptions: bool = False) -> Awaitable[list[Any]]:
        """Do several things at once."""

    def tool(self, tool: Tool[Any], arguments: dict[str, Any], /) -> Awaitable[Any]:
        """Call a tool."""

    def step(self, fn: Callable[..., Any], /, *args: Any) -> Awaitable[Any]:
        """Call a function once and record its result."""


def execute(run: CanvasRun, node: Any, given: Any = _NOTHING, options: dict[str, Any] | None = None) -> Any:
    """Return what to await for a node; `given` is the result of the member before it, for members without input."""
    if isinstance(node, Bound):
        return run.call_agent(node.agent, _input(node, given), **(options or {}))
    if isinstance(node, Chain):
        return _chain(run, node, given)
    if isinstance(node, Group):
        return run.gather_all([execute(run, member, given) for member in node.members])
    if isinstance(node, Chord):
        return _chord(run, node, given)
    if isinstance(node, Batch):
        return _batch(run, node)
    raise TypeError(f"{node!r} cannot be called: use agent.bind(input), chain, group, chord or batch")


async def _chain(run: CanvasRun, node: Chain, given: Any) -> Any:
    for member in node.members:
        given = await execute(run, member, given)
    return given


async def _chord(run: CanvasRun, node: Chord, given: Any) -> Any:
    members = [execute(run, member, given) for member in node.group.members]
    results = await run.gather_all(members, return_exceptions=True)
    return await _callback(run, node.callback, _outcome(results))


async def _batch(run: CanvasRun, node: Batch) -> list[Any]:
    items, size = node.items, node.size
    if items and all(isinstance(item, Bound | Chain | Group | Chord | Batch) for item in items):
        return [
            await _chord(run, Chord(Group(items[at : at + size]), node.callback), _NOTHING)
            for at in range(0, len(items), size)
        ]
    pieces = [list(items[at : at + size]) for at in range(0, len(items), size)]
    results: list[Any] = await run.gather_all([_callback(run, node.callback, piece) for piece in pieces])
    return results


def _callback(run: CanvasRun, callback: Any, value: Any) -> Any:
    """Return what to await for a callback: an agent, a tool, a canvas word or a plain function."""
    if isinstance(callback, Tool):
        names = list(callback.args_model.model_fields)
        return run.tool(callback, value if isinstance(value, dict) else {names[0]: value})
    if callable(callback) and not isinstance(callback, Agent):
        return run.step(callback, value)
    return execute(run, callback, value)


def _outcome(results: list[Any]) -> dict[str, Any]:
    """Return what a chord's callback gets; a failed member stands as `{"error": …}` in its place."""
    failed = sum(isinstance(result, BaseException) for result in results)
    return {
        "total": len(results),
        "successful": len(results) - failed,
        "failed": failed,
        "results": [
            _error(result) if isinstance(result, BaseException) else from_json(to_json(result), None)
            for result in results
        ],
    }


def _error(error: BaseException) -> dict[str, Any]:
    described: dict[str, Any] = {"type": error_type(error), "message": error_message(error)}
    if isinstance(error, StepFailed):
        described.update(path=error.path, name=error.name, type=error.type or error_type(error))
    if isinstance(error, ChildFailed):
        described["run_id"] = error.child
    return {"error": described}


def _input(node: Bound[Any], given: Any) -> Any:
    if node.has_input:
        return node.input
    return None if given is _NOTHING else fitted(node.agent, given)


def fitted(agent: Agent[Any, Any], value: Any) -> Any:
    """Return value as the agent's input; a model with one field also takes the value of that field."""
    kind = agent.input_type
    fields = getattr(kind, "model_fields", None)
    data = to_json(value)
    try:
        return from_json(data, kind)
    except ValidationError:
        native = from_json(data, None)
        return native if fields is None or len(fields) != 1 else {next(iter(fields)): native}
