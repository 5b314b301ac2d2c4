"""The model of a simulation: it says what it is asked to say, takes its time and fails now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.model.chat import ChatAnswer, ChatRequest, Usage
from streams.model.errors import ModelError
from streams.model.roles import USUAL, Role, RoledModel
from tests.apps.simulated.effects import EffectLog


class SimModel:
    """Answers with the last line of what it is asked."""

    name = "simulated"

    def __init__(self, log: EffectLog) -> None:
        self._log = log

    def roled(self) -> RoledModel:
        """Return it as the worker's models."""
        return RoledModel({USUAL: Role(USUAL, self)})

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Answer, after a while."""
        text = request.messages[-1].content
        said: Any = f"said {text}"
        try:
            await self._log.perform("model", text, text)
        except RuntimeError as error:
            raise ModelError("the model is down") from error
        if on_delta is not None:
            on_delta(said)
        return ChatAnswer(said, Usage(1, 1, 0, 0.0), self.name)
