"""Answers what a run asks of the outside when it is run again: from recordings, or for real where that is allowed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from streams.engine.messages import ErrorInfo
from streams.model.hash import tool_hash
from streams.replay import live_calls
from streams.replay.errors import CallNotRecordedError, ReplayError
from streams.replay.recordings import RecordedStepModel, Recordings
from streams.tools._soft_timeout import hard_limit_of, out_of_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas import Event
    from streams.engine.decision import Perform
    from streams.engine.entry import Entry
    from streams.model.chat import ChatModel
    from streams.replay.run_observations import Observed

CallMode: TypeAlias = Literal["recorded", "hybrid", "live"]


@dataclass(slots=True)
class RecordedAnswer:
    """The end of one attempt; `recorded` counts answers that were found, `made` those that were asked for outside.

    `encoded` says that the value is JSON as it is in the journal, and not what a step returned.
    """

    value: Any = None
    error: ErrorInfo | None = None
    usage: dict[str, Any] | None = None
    calls: list[Event] = field(default_factory=list)
    recorded: int = 0
    made: int = 0
    encoded: bool = True


class AnswerSource:
    """Answers for one root run and its descendants: it remembers which of several equal answers comes next.

    `recorded` never asks the outside, `hybrid` asks for what is not on the log, `live` asks for everything.
    """

    def __init__(
        self, recordings: Recordings, mode: CallMode = "recorded", model: Callable[[], ChatModel] | None = None
    ) -> None:
        self._recordings = recordings
        self._model = model
        self._asked: Counter[tuple[str, str, str]] = Counter()
        self.mode = mode

    @property
    def closed(self) -> bool:
        """Whether the outside must not be asked."""
        return self.mode == "recorded"

    def refusal(self, _perform: Perform) -> str | None:
        """Return why the outside must not be asked for an attempt, None if it may be."""
        return "the log has no answer to it as it is asked now" if self.closed else None

    async def find(
        self, run_id: str, perform: Perform, observed: Observed | None, *, anywhere: bool
    ) -> RecordedAnswer | None:
        """Return the answer that the log holds, or None; a pure step is computed, since it touches nothing.

        Unless `anywhere` is given, a run that the log knows gets only what this step of it got then: one that was cut
        short at the time got nothing.
        """
        if self.mode == "live":
            return None
        entry = None
        if observed is not None:
            entry = observed.effect(perform) or (observed.alike(perform) if anywhere else None)
            if entry is None and not anywhere:
                return None
        if entry is not None and perform.attempt < entry.attempt:
            return _to_be_tried_again()
        if entry is not None and entry.status == "failed":
            return _failed(entry)
        return await self._recorded(run_id, perform, entry)

    async def _recorded(self, run_id: str, perform: Perform, entry: Entry | None) -> RecordedAnswer | None:
        """Answer by hash; the journal under the same arguments is as good, but for models, whose schemas it lacks."""
        if perform.kind == "llm":
            return await self._asked_model(run_id, perform, None)
        if entry is not None:  # for a tool, too: an answer that was shared between runs is recorded for the first only
            return RecordedAnswer(entry.output, recorded=1)
        if perform.kind == "tool":
            return self._called(run_id, perform)
        return await self.make(run_id, perform) if perform.pure else None

    async def make(self, run_id: str, perform: Perform) -> RecordedAnswer:
        """Make the attempt for real, within its time-out; what goes wrong is the answer's error."""
        scope = asyncio.timeout(hard_limit_of(perform))
        try:
            async with scope:
                return await self._made(run_id, perform)
        except Exception as error:  # noqa: BLE001 - users' code and the outside may raise anything: it is the outcome
            return RecordedAnswer(error=ErrorInfo.of(error, timed_out=scope.expired() or out_of_time(error)), made=1)

    async def _made(self, run_id: str, perform: Perform) -> RecordedAnswer:
        if perform.kind == "llm":
            if self._model is None:
                raise ReplayError("no model is known: start `streams dev`, or set STREAMS_LLM_BASE_URL")
            answer = await self._asked_model(run_id, perform, self._model())
            if answer is None:
                raise CallNotRecordedError("the model gave no answer")
            return answer
        if perform.kind == "tool":
            value, record = await live_calls.tool_call(run_id, perform)
            return RecordedAnswer(value, calls=[record], made=1)
        return RecordedAnswer(
            await live_calls.step(perform), made=int(not perform.pure), recorded=int(perform.pure), encoded=False
        )

    async def _asked_model(self, run_id: str, perform: Perform, outside: ChatModel | None) -> RecordedAnswer | None:
        known = Recordings() if self.mode == "live" else self._recordings
        before = self._asked.copy() if outside is None else None
        model = RecordedStepModel(known, run_id, perform.path, lambda name: self._nth(run_id, perform, name), outside)
        try:
            answered = await live_calls.question(perform, model)
        except CallNotRecordedError:
            if before is not None:
                self._asked = before  # nothing was taken: the outside may be asked for the same next
            return None
        except Exception as error:
            if outside is not None:
                raise
            return RecordedAnswer(error=ErrorInfo.of(error), recorded=model.hits)
        calls: list[Event] = []
        if model.calls:
            calls.extend(live_calls.records(run_id, perform, answered.calls[model.hits :]))
        usage = answered.usage.to_json() if model.calls else None
        return RecordedAnswer(answered.value, None, usage, calls, recorded=model.hits, made=model.calls)

    def _called(self, run_id: str, perform: Perform) -> RecordedAnswer | None:
        tool = perform.tool
        if tool is None:
            return None
        name = tool_hash(tool.name, tool.version, perform.args)
        found = self._recordings.find(name, run_id, perform.path, self._asked[run_id, perform.path, name])
        if found is None:
            return None
        self._asked[run_id, perform.path, name] += 1
        return RecordedAnswer(found.answer, recorded=1)

    def _nth(self, run_id: str, perform: Perform, name: str) -> int:
        self._asked[run_id, perform.path, name] += 1
        return self._asked[run_id, perform.path, name] - 1


def _to_be_tried_again() -> RecordedAnswer:
    """Return the failure of an attempt that another one followed: the journal keeps the last, and their number."""
    return RecordedAnswer(
        error=ErrorInfo("Retry", "an attempt that was followed by another one", after=0.0), recorded=1
    )


def _failed(entry: Entry) -> RecordedAnswer:
    """Return a recorded failure, which no further attempt may follow."""
    known = entry.error or {}
    error = ErrorInfo(
        known.get("type", ""),
        known.get("message", ""),
        traceback=known.get("traceback", ""),
        rejected=True,
        timed_out=bool(known.get("timed_out")),
    )
    return RecordedAnswer(error=error, recorded=1)
