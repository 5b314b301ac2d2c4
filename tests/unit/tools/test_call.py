"""What the machinery does with any tool, and with what a model asks for."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from streams import tool
from streams.tools._call import IDEMPOTENCY_KEY, call_tool
from streams.tools._wishes import granted, spec_of
from streams.tools.errors import InvalidArgumentsError, ToolError


class Found(BaseModel):
    at: datetime


@tool
def plain(number: int, word: str = "x") -> dict[str, Any]:
    """Do it in a thread."""
    return {"sum": number, "word": word, "main": threading.current_thread() is threading.main_thread()}


@tool(timeout=0.05)
async def endless() -> str:
    """Never end."""
    await asyncio.Event().wait()
    return "never"


@tool
async def impatient() -> str:
    """Time out by itself."""
    raise TimeoutError("of its own")


@tool
async def dated() -> Found:
    """Return a model, and note the key."""
    assert IDEMPOTENCY_KEY.get() == "k"
    return Found(at=datetime(2026, 1, 2, tzinfo=UTC))


@tool
async def odd() -> Any:
    """Return what is no JSON."""
    return object()


async def test_plain_functions_run_in_a_thread_with_validated_arguments() -> None:
    assert await call_tool(plain, {"number": "3"}) == {"sum": 3, "word": "x", "main": False}


async def test_results_are_json() -> None:
    assert await call_tool(dated, {}, idempotency_key="k") == {"at": "2026-01-02T00:00:00Z"}
    with pytest.raises(ToolError, match="no JSON"):
        await call_tool(odd, {})


async def test_the_tools_own_time_is_not_mistaken_for_an_error_of_its_kind() -> None:
    with pytest.raises(ToolError, match=r"longer than its 0\.05 s"):
        await call_tool(endless, {})
    with pytest.raises(TimeoutError, match="of its own"):
        await call_tool(impatient, {})


@pytest.mark.parametrize("args", [{}, {"number": "x"}, {"number": 1, "more": 2}, [], None, "text"])
async def test_wrong_arguments_call_nothing(args: Any) -> None:
    with pytest.raises(InvalidArgumentsError):
        await call_tool(plain, args)


def test_a_model_is_told_name_help_and_arguments() -> None:
    spec = spec_of(plain)
    assert (spec.name, spec.description) == ("plain", "Do it in a thread.")
    assert spec.parameters["required"] == ["number"]
    assert spec.parameters["additionalProperties"] is False


def test_a_wish_is_granted_only_as_listed() -> None:
    assert granted({"name": "plain", "arguments": '{"number": 1}'}, [plain]) == (plain, {"number": 1})
    for wish in (
        {"name": "endless", "arguments": "{}"},
        {"name": "PLAIN", "arguments": '{"number": 1}'},
        {"name": "plain", "arguments": "{broken"},
        {"name": "plain", "arguments": '{"number": 1, "extra": 2}'},
        {"name": "plain", "arguments": ""},
        {"name": "__import__", "arguments": "{}"},
    ):
        with pytest.raises(InvalidArgumentsError):
            granted(wish, [plain])
