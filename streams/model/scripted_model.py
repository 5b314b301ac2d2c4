"""A chat model that says what a test wrote down, so that agents are tested without a model, a network or a price."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, TypeAdapter

from streams.define.policies import Reject
from streams.model.chat import ChatAnswer, ChatRequest, Usage
from streams.model.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Line = (
    Any  # ChatAnswer, exception, text, pydantic model, JSON value, or a function of the request that makes one of them
)
ANY: TypeAdapter[Any] = TypeAdapter(Any)


class ScriptEndedError(ModelError, Reject):
    """Raised by `ScriptedModel` when it is asked more often than it has lines."""


class ScriptedModel:
    """Answers with its lines in order, or every time with what a function makes of the request; keeps all `requests`.

    A line is a text, a pydantic model or JSON value (given as JSON text), a ChatAnswer, or an exception to raise.
    """

    def __init__(
        self, *lines: Line, always: Callable[[ChatRequest], Line] | None = None, name: str = "scripted"
    ) -> None:
        self.requests: list[ChatRequest] = []
        self._lines = list(lines)
        self._always = always
        self._name = name

    @property
    def name(self) -> str:
        """The name under which its answers are recorded."""
        return self._name

    def add(self, lines: Iterable[Line]) -> None:
        """Append lines to the script."""
        self._lines.extend(lines)

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Return the next line; ScriptEndedError, with the last prompt, if there is none."""
        self.requests.append(request)
        if self._lines:
            line = self._lines.pop(0)
        elif self._always is not None:
            line = self._always(request)
        else:
            prompt = request.messages[-1].content[:200]
            raise ScriptEndedError(
                f"The script has no line for call {len(self.requests)}; add one that answers: {prompt!r}"
            )
        answer = self._answer_of(line(request) if callable(line) and not isinstance(line, type) else line)
        if on_delta is not None:
            on_delta(answer.text)
        return answer

    def _answer_of(self, line: Line) -> ChatAnswer:
        if isinstance(line, BaseException):
            raise line
        if isinstance(line, ChatAnswer):
            return line if line.model else replace(line, model=self._name)
        text = line if isinstance(line, str) else _json(line)
        return ChatAnswer(text, Usage(input_tokens=1, output_tokens=1), self._name)


def _json(line: Line) -> str:
    plain = line.model_dump(mode="json") if isinstance(line, BaseModel) else ANY.dump_python(line, mode="json")
    return orjson.dumps(plain).decode()
