"""Lets a model use tools in a run: it chooses, the run acts and records, so that no round is paid twice."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union

import orjson
from pydantic import BaseModel, create_model

from streams.define.policies import Reject
from streams.error_text import error_message
from streams.errors import StepFailed
from streams.model.fence import as_json
from streams.model.reach import beyond, named, reaching

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from streams.define.tools import Tool

RULES = """You may use tools. In each turn answer with one action as JSON: the tool to call with its arguments, or
"none" with your answer as soon as you can give it. What tools returned so far comes after the data.

Tools:
"""
SHOWN = 4_000  # characters of a tool's result that the model sees: every round shows all of them again


class ModelAsker(Protocol):
    """What of a Run is needed here."""

    def llm(self, prompt: Any, /, *args: Any, returns: Any, **params: Any) -> Awaitable[Any]:
        """Ask the model, once."""

    def tool(self, tool: Tool[Any], arguments: Mapping[str, Any], /) -> Awaitable[Any]:
        """Call a tool with arguments that the model chose, once."""


async def converse(
    run: ModelAsker,
    prompt: object,
    *data: Any,
    tools: Sequence[Tool[Any]],
    returns: Any = str,
    rounds: int = 8,
    hosts: Sequence[str] | None = None,
    **params: Any,
) -> Any:
    """Return the model's answer, of type `returns`, after at most `rounds` tool calls; Reject when it has none by then.

    The tools given are all there are: what the model may answer is a type made of them, so a wish for anything else is
    an invalid answer, whatever a page made it ask for. A tool that failed is shown as such, and the model goes on.
    `hosts` are those that URLs in arguments may lead to, redirects included (`["*"]`: any); unset, they are the hosts
    of the URLs in the prompt. Neither the data, which strangers may have written, nor what tools return adds one.
    """
    reach = named(str(prompt)) if hosts is None else frozenset(host.rstrip(".").lower() for host in hosts)
    move = move_type(tuple(tools), returns)
    question = _question(prompt, tools)
    outcomes: list[Any] = []
    by_name = {tool.name: tool for tool in tools}
    for turn in range(rounds + 1):
        action = (await run.llm(question, *data, *outcomes, returns=move, **params)).action
        if action.tool == "none":
            return action.answer
        if turn == rounds:
            break
        arguments = {name: getattr(action.arguments, name) for name in type(action.arguments).model_fields}
        outcomes.append(await _acted(run, by_name[action.tool], arguments, reach))
    raise Reject(f"The model found no answer within {rounds} tool calls; raise `rounds`, or give it less to do.")


@lru_cache(maxsize=256)
def move_type(tools: tuple[Tool[Any], ...], returns: Any) -> type[BaseModel]:
    """Return the type of one turn: a call of one of `tools`, or an answer."""
    literal: Any = Literal  # of names that are known at run time only
    calls = [_model(f"Call_{tool.name}", tool=literal[tool.name], arguments=tool.args_model) for tool in tools]
    answer = _model("Answer", tool=literal["none"], answer=returns)
    union: Any = Union
    return _model("Move", action=union[(*calls, answer)])


def _model(name: str, **types: Any) -> type[BaseModel]:
    fields: dict[str, Any] = {field: (kind, ...) for field, kind in types.items()}
    return create_model(name, **fields)


def _question(prompt: object, tools: Sequence[Tool[Any]]) -> str:
    listed = "\n".join(f"- {tool.name}: {tool.doc}" for tool in tools)
    return f"{prompt}\n\n{RULES}{listed}"


async def _acted(run: ModelAsker, tool: Tool[Any], arguments: dict[str, Any], hosts: frozenset[str]) -> dict[str, Any]:
    """Call a tool and return what the model is shown of it; nothing is called for a host that was not given."""
    shown = {"tool": tool.name, "arguments": as_json(arguments)}
    if strange := beyond(shown["arguments"], hosts):
        return {**shown, "error": f"{', '.join(strange)} may not be reached: only hosts that the prompt names."}
    with reaching(hosts):
        call = run.tool(tool, arguments)
    try:
        result = orjson.dumps(as_json(await call)).decode()
    except StepFailed as error:
        return {**shown, "error": error_message(error, SHOWN)}
    return {**shown, "result": result[:SHOWN]}
