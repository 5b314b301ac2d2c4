"""Answers from recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from streams.model.ask import ask
from streams.model.chat import ChatAnswer, Usage
from streams.model.recorded_model import NotRecordedError, RecordedModel
from streams.model.scripted_model import ScriptedModel


async def recording(prompt: str) -> dict[str, Any]:
    (call,) = (await ask(ScriptedModel(ChatAnswer("recorded", Usage(5, 5, 0, 1.0))), prompt)).calls
    return {call.hash: call.answer}


def of(kept: Mapping[str, Any], live: ScriptedModel, calls: Any) -> RecordedModel:
    async def lookup(digest: str) -> Any:
        return kept.get(digest)

    return RecordedModel(live, lookup, calls)


async def test_what_was_asked_before_is_answered_for_free() -> None:
    live = ScriptedModel()
    model = of(await recording("a"), live, "recorded")
    answered = await ask(model, "a")
    assert (answered.value, answered.usage, live.requests) == ("recorded", Usage(), [])
    assert (model.hits, model.misses) == (1, 0)


async def test_a_miss_is_an_error_or_goes_live() -> None:
    kept = await recording("a")
    with pytest.raises(NotRecordedError, match="hybrid"):
        await ask(of(kept, ScriptedModel("live"), "recorded"), "b")
    model = of(kept, ScriptedModel("live"), "hybrid")
    assert (await ask(model, "b")).value == "live"
    assert (await ask(model, "a")).value == "recorded"
    assert (model.hits, model.misses) == (1, 1)


async def test_live_looks_nothing_up() -> None:
    assert (await ask(of(await recording("a"), ScriptedModel("live"), "live"), "a")).value == "live"
