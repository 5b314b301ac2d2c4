"""The outside of a test: steps as they are, tools and models as the test wants them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from schemas.typedjson import to_json
from streams.engine.decision import Perform
from streams.errors import StreamsError
from streams.model.ask import ask
from streams.model.reach import reaching
from streams.tools._call import arguments


class Outside:
    """Answers effects: `tools` by name (a function of the arguments, or a value), `model` for all questions."""

    def __init__(self, tools: dict[str, Any], model: Any) -> None:
        self.tools = tools
        self.model = model

    def answer(self, perform: Perform) -> tuple[Any, dict[str, Any] | None]:
        """Return what an attempt gives, and its usage; raise what it raises."""
        if perform.kind == "llm":
            return self._ask(perform)
        if perform.kind == "tool":
            return to_json(self._tool(perform), perform.returns, by_alias=None), None
        fn = perform.fn
        if fn is None:
            raise StreamsError(f"step {perform.name} has no function: give run.step() a callable")
        return finished(fn(*perform.args["args"], **perform.args["kwargs"])), None

    def _tool(self, perform: Perform) -> Any:
        tool = perform.tool
        if tool is None:
            raise StreamsError(f"tool call {perform.name} has no tool: give run.tool() a @tool")
        named = arguments(tool, perform.args)
        answer = self.tools.get(perform.name, tool.fn)
        with reaching(perform.hosts):
            return finished(answer(**named)) if callable(answer) else answer

    def _ask(self, perform: Perform) -> tuple[Any, dict[str, Any] | None]:
        model, args = self.model, perform.args
        if model is None:
            raise StreamsError("the agent asks a model: give the test one, such as model=ScriptedModel(...)")
        if hasattr(model, "complete"):
            answered = finished(
                ask(model, args["prompt"], args["args"], returns=perform.returns, params=args["params"])
            )
            return answered.value, asdict(answered.usage)
        answer = model.pop(0) if isinstance(model, list) else finished(model(args["prompt"], args["args"]))
        return to_json(answer, perform.returns, by_alias=None), {"input_tokens": 1, "output_tokens": 1}


def finished(value: Any) -> Any:
    """Return value, or the result of the coroutine that it is."""
    if not inspect.iscoroutine(value):
        return value
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(value)
    with ThreadPoolExecutor(1) as pool:  # a test that is a coroutine itself has a loop already
        return pool.submit(_run, value).result()


def _run(coro: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coro)
