"""Lets a tool call another one as an agent would: within that tool's own limits, and with a record of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.typedjson import from_json
from streams.engine.run import arguments_to_json
from streams.tools._call import call_tool

if TYPE_CHECKING:
    from streams.define.tools import Tool

ResultT = TypeVar("ResultT")
Performs = Callable[["Tool[Any]", dict[str, Any]], Awaitable[Any]]

PERFORMS: ContextVar[Performs | None] = ContextVar("performs", default=None)  # set by who enforces the limits: a worker


async def inner(tool: Tool[ResultT], **arguments: Any) -> ResultT:
    """Return the typed result of one call; raises what the tool raises, after its retries.

    Where nothing enforces limits (a test, a script) the tool is simply called.
    """
    whole = arguments_to_json(tool, arguments)  # as an agent's call is: one hash for both
    performs = PERFORMS.get()
    value = await (call_tool(tool, whole) if performs is None else performs(tool, whole))
    result: ResultT = from_json(value, tool.returns)
    return result
