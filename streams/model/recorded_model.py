"""A chat model that answers from recordings, so that a replay costs nothing and cannot differ by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from streams.define.policies import Reject
from streams.model.chat import ChatAnswer
from streams.model.errors import ModelError
from streams.model.hash import meant, request_hash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streams.model.chat import ChatModel, ChatRequest

    Lookup = Callable[[str], Awaitable[Mapping[str, Any] | None]]

Calls = Literal["recorded", "hybrid", "live"]


class NotRecordedError(ModelError, Reject):
    """Raised by `RecordedModel` when a call has no recording and must not be made: the replay differs here."""


class RecordedModel:
    """Finds answers by the hash of everything that determines them; `hits` and `misses` count.

    `lookup` gives the answer that `ChatAnswer.to_json` wrote, or None. A miss is an error (`recorded`) or goes to the
    `live` model (`hybrid`); with `live` nothing is looked up. What is found costs nothing: its usage is zero.
    """

    def __init__(self, live: ChatModel, lookup: Lookup, calls: Calls = "recorded") -> None:
        self.hits = 0
        self.misses = 0
        self._live = live
        self._lookup = lookup
        self._calls = calls

    @property
    def name(self) -> str:
        """The live model's name: recordings were made under it."""
        return self._live.name

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Return the recorded answer, or the live one; NotRecordedError when there is none and none may be made."""
        found = (
            None if self._calls == "live" else await self._lookup(request_hash(meant(self._live, request), self.name))
        )
        if found is not None:
            self.hits += 1
            answer = ChatAnswer.from_json(found)
            if on_delta is not None:
                on_delta(answer.text)
            return answer
        self.misses += 1
        if self._calls == "recorded":
            prompt = request.messages[-1].content[:100]
            raise NotRecordedError(f"No recording answers {prompt!r}: replay with --calls hybrid to ask the model.")
        return await self._live.complete(request, on_delta)
