"""Performs one tool call for the machinery: JSON in, validated, within its time, JSON out."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from schemas.content import UnrecordableError
from schemas.jsonvalue import tags_in, untagged
from schemas.typedjson import to_json
from streams.error_text import error_message
from streams.tools._soft_timeout import hard_limit, out_of_time, softly
from streams.tools._threads import in_thread
from streams.tools.errors import InvalidArgumentsError, ToolTimeoutError, UnrecordableResultError
from streams.user_code import awaited, called

if TYPE_CHECKING:
    from streams.define.tools import Tool

_BEGINS = 2_000  # characters of a result in a message
IDEMPOTENCY_KEY: ContextVar[str | None] = ContextVar("idempotency_key", default=None)  # of the step that calls


async def call_tool(tool: Tool[Any], args: Any, *, idempotency_key: str | None = None) -> Any:
    """Return the tool's result as JSON; plain functions run in a thread, which a timeout does not end.

    An async one gets SoftTimeout at its current await when its time is over and has a grace to save and clean up.
    Raises InvalidArgumentsError (a Reject) for arguments that do not fit, ToolTimeoutError when the tool's time passes,
    ToolError when its result is no JSON, and whatever the tool itself raises.
    """
    named = arguments(tool, args)
    scope = asyncio.timeout(hard_limit(tool.fn, tool.timeout))
    token = IDEMPOTENCY_KEY.set(idempotency_key)
    try:
        async with scope:
            if inspect.iscoroutinefunction(tool.fn):
                result = await awaited(softly(tool.fn(**named), tool.timeout, tool.name))
            else:
                result = await in_thread(tool.fn, **named)
    except TimeoutError as error:
        if not scope.expired() and not out_of_time(error):
            raise
        raise ToolTimeoutError(f"{tool.name} took longer than its {tool.timeout:g} s.") from error.__cause__
    finally:
        IDEMPOTENCY_KEY.reset(token)
    try:
        return called(to_json, result, tool.returns, by_alias=None)
    except (PydanticSerializationError, ValueError, TypeError) as error:
        advice = "" if isinstance(error, UnrecordableError) else "; return a pydantic model"
        wrong = f"{error_message(error)}{advice}"
        raise UnrecordableResultError(
            f"{tool.name} returned what is no JSON ({wrong}). The call was made; it returned {_begins(result)}"
        ) from error


def _begins(result: Any) -> str:
    """Return the beginning of a result's repr: what it shows may have been paid for."""
    try:
        return called(repr, result)[:_BEGINS]
    except Exception:  # noqa: BLE001  a repr of the author's own may raise anything
        return f"a {type(result).__qualname__}"


def arguments(tool: Tool[Any], args: Any) -> dict[str, Any]:
    """Return validated arguments by name; InvalidArgumentsError names each field that is wrong."""
    try:
        native = untagged(args) if tags_in(args) else args
        validated = called(tool.args_model.model_validate, native, by_alias=True, by_name=True)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        raise InvalidArgumentsError(f"{tool.name}: {wrong}") from error
    return {name: getattr(validated, name) for name in tool.args_model.model_fields}
