"""The answers that are on the log: every model and tool call, found by a hash of all that determines its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streams.model.chat import ChatAnswer
from streams.model.hash import call_hash, request_hash
from streams.model.model_from_settings import LOCAL_MODEL, OPENAI_MODEL
from streams.replay.errors import CallNotRecordedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from streams.model.chat import ChatModel, ChatRequest


_USUAL: Final = (LOCAL_MODEL, OPENAI_MODEL)


@dataclass(frozen=True, slots=True)
class Recording:
    """One answer, and where it was given."""

    run_id: str | None
    path: str
    answer: Any


class Recordings:
    """Calls by hash. With `model` an answer counts only if that model gave it (for requests that name none).

    Without `model`, a request that names no model is answered by whichever did at the time.
    """

    def __init__(self, calls: Iterable[Mapping[str, Any]] = (), *, model: str | None = None) -> None:
        self._model = model
        self._by_hash: dict[str, dict[str | None, list[Recording]]] = {}
        self.count = 0
        for call in calls:
            self.add(call)

    def add(self, call: Mapping[str, Any]) -> None:
        """Take a `call.recorded` by its fields; failed calls are left to the run's journal."""
        if call.get("error") is not None:
            return
        recording = Recording(call.get("run_id"), call.get("path", ""), call["answer"])
        names = {call["hash"]}
        if call["kind"] == "llm" and (self._model is None or (call["request"] or {}).get("model")):
            names.add(call.get("asked") or call_hash("llm", "", 1, call["request"]))
        for name in names:
            self._by_hash.setdefault(name, {}).setdefault(recording.run_id, []).append(recording)
        self.count += 1

    def name_of(self, request: ChatRequest) -> str:
        """Return the hash under which the answer to a request is looked for.

        Without a model: the request by itself, or as it is stored when an endpoint's usual model was asked;
        so too for a request that names its model or role.
        """
        if self._model is not None and not request.model:
            return request_hash(request, self._model)
        names = [call_hash("llm", "", 1, request.to_json()), *(request_hash(request, model) for model in _USUAL)]
        return next((name for name in names if name in self._by_hash), names[0])

    def find(self, name: str, run_id: str, path: str, nth: int) -> Recording | None:
        """Return what this step got, the nth time; else what this run got elsewhere; else what any run got last."""
        runs = self._by_hash.get(name)
        if not runs:
            return None
        own = runs.get(run_id)
        if own is None:
            return next(reversed(runs.values()))[-1]
        here = [one for one in own if one.path == path] or own
        return here[min(nth, len(here) - 1)]


class RecordedStepModel:
    """A chat model for one step that answers from recordings, and only with `live` also from the outside.

    `nth` counts how often a hash was asked for before, so that equal questions get their answers in order.
    """

    def __init__(
        self,
        recordings: Recordings,
        run_id: str,
        path: str,
        nth: Callable[[str], int],
        live: ChatModel | None = None,
    ) -> None:
        self._recordings = recordings
        self._place = (run_id, path)
        self._nth = nth
        self._live = live
        self.hits = 0
        self.calls = 0

    @property
    def name(self) -> str:
        """The name of the live model, if there is one."""
        return "recorded" if self._live is None else self._live.name

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Return the recorded answer, for nothing; raises NotRecordedError without one and without a live model."""
        name = self._recordings.name_of(request)
        found = self._recordings.find(name, *self._place, self._nth(name))
        if found is not None:
            self.hits += 1
            return ChatAnswer.from_json(found.answer)
        if self._live is None:
            raise CallNotRecordedError(f"no recorded answer to this request (hash {name[:16]})")
        self.calls += 1
        return await self._live.complete(request, on_delta)
