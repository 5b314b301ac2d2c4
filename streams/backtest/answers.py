"""Answers one lane of one run: from the log, a stub or the outside, and counts what each answer cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.clock import monotonic
from streams.replay.answers import AnswerSource, RecordedAnswer
from streams.replay.recordings import Recording, Recordings
from streams.replay.wall import opened

if TYPE_CHECKING:
    from streams.backtest.policies import BudgetMeter, Policies
    from streams.engine.decision import Perform
    from streams.engine.entry import Entry
    from streams.model.chat import ChatModel, ChatRequest
    from streams.replay.run_observations import Observed

USUAL_ROLE = "default"


class CallRecordings(Recordings):
    """The calls of the log with what each cost: dollars and seconds, by its answer."""

    def __init__(self, calls: Iterable[Mapping[str, Any]] = ()) -> None:
        self._costs: dict[int, tuple[Mapping[str, Any], float]] = {}
        self._places: set[tuple[str | None, str]] = set()
        super().__init__(calls)

    def add(self, call: Mapping[str, Any]) -> None:
        """Take a `call.recorded` by its fields."""
        super().add(call)
        if call.get("error") is None:
            seconds = (call["finished_ms"] - call["started_ms"]) / 1000
            self._costs[id(call["answer"])] = (call.get("usage") or {}, seconds)
            self._places.add((call.get("run_id"), call.get("path", "")))

    def cost_of(self, recording: Recording) -> tuple[Mapping[str, Any], float]:
        """Return usage and seconds of the call that gave an answer."""
        return self._costs.get(id(recording.answer), ({}, 0.0))

    def has_call(self, run_id: str, path: str) -> bool:
        """Return whether a call of this step is on the log."""
        return (run_id, path) in self._places


class _RequestRecordings(Recordings):
    """The calls as one step asks for them: notes what was found, and has nothing for roles with another model."""

    def __init__(self, known: CallRecordings, other_models: frozenset[str]) -> None:
        super().__init__()
        self._known = known
        self._other_models = other_models
        self.found: list[Recording] = []
        self.other_model = False

    def name_of(self, request: ChatRequest) -> str:
        self.other_model = (request.model or USUAL_ROLE) in self._other_models
        return self._known.name_of(request)

    def find(self, name: str, run_id: str, path: str, nth: int) -> Recording | None:
        found = None if self.other_model else self._known.find(name, run_id, path, nth)
        if found is not None:
            self.found.append(found)
        return found


@dataclass(slots=True)
class LaneUsage:
    """What the answers of one run and its descendants cost when they were made: then, or now.

    `seconds` is the time of all calls together. `unpriced` counts model calls whose model has no price.
    """

    cost_usd: float = 0.0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    recorded: int = 0
    made: int = 0
    unpriced: int = 0

    def add(self, usage: Mapping[str, Any] | None, seconds: float) -> None:
        """Add one call."""
        known = usage or {}
        self.cost_usd += known.get("cost_usd") or 0.0
        self.input_tokens += known.get("input_tokens", 0)
        self.output_tokens += known.get("output_tokens", 0)
        self.unpriced += "cost_usd" in known and known["cost_usd"] is None
        self.seconds += seconds


class LaneAnswers(AnswerSource):
    """Answers for one run and its descendants in one lane."""

    def __init__(
        self,
        known: CallRecordings,
        policies: Policies,
        meter: BudgetMeter,
        model: Callable[[], ChatModel] | None = None,
    ) -> None:
        super().__init__(known, "recorded" if policies.closed else "hybrid", model)
        self._known = known
        self._policies = policies
        self._meter = meter
        self._requests = _RequestRecordings(known, policies.other_models)
        self._models = AnswerSource(self._requests, policies.models, model)
        self._tools = AnswerSource(self._requests, "recorded" if policies.tools == "stub" else policies.tools)
        self.usage = LaneUsage()
        self.out_of_budget = False
        self.unanswered: dict[tuple[str, str], Perform] = {}

    def refusal(self, perform: Perform) -> str | None:
        """Return why the outside must not be asked for an attempt, None if it may be."""
        why = self._policies.refusal(perform)
        if why is None and self._meter.exhausted:
            self.out_of_budget = True
            return "the budget is spent"
        return why

    async def find(
        self, run_id: str, perform: Perform, observed: Observed | None, *, anywhere: bool
    ) -> RecordedAnswer | None:
        """Return the answer of the log or of a stub, None if there is none."""
        self._requests.found.clear()
        self._requests.other_model = False
        answer = await self._source(perform).find(run_id, perform, observed, anywhere=anywhere)
        entry = (
            None if observed is None else observed.effect(perform) or (observed.alike(perform) if anywhere else None)
        )
        if answer is not None:
            self._count_recorded(perform, answer, entry)
            return answer
        if perform.kind == "llm" and entry is not None and self._only_in_journal(run_id, entry):
            self.usage.add(entry.usage, _seconds(entry))
            self.usage.recorded += 1
            return RecordedAnswer(entry.output, recorded=1)
        if anywhere and self._policies.tools == "stub" and perform.name in self._policies.stubs:
            return RecordedAnswer(self._policies.stubs[perform.name])
        if anywhere:
            self.unanswered[run_id, perform.path] = perform
        return None

    async def make(self, run_id: str, perform: Perform) -> RecordedAnswer:
        """Make the attempt for real; raise BacktestError for a model without a price, under a budget."""
        began = monotonic()
        with opened():
            answer = await self._source(perform).make(run_id, perform)
        self.usage.add(answer.usage, monotonic() - began)
        self.usage.made += answer.made
        if perform.kind == "llm":
            self._meter.add(answer.usage)
        return answer

    def _source(self, perform: Perform) -> AnswerSource:
        return self._models if perform.kind == "llm" else self._tools

    def _count_recorded(self, perform: Perform, answer: RecordedAnswer, entry: Entry | None) -> None:
        self.usage.recorded += answer.recorded
        if perform.kind == "llm":
            for one in self._requests.found:
                self.usage.add(*self._known.cost_of(one))
        elif entry is not None and (answer.error is None or answer.error.rejected):
            self.usage.add(None, _seconds(entry))

    def _only_in_journal(self, run_id: str, entry: Entry) -> bool:
        """Return whether a model's answer is in the journal, and its call no longer on the log."""
        return (
            self._policies.models != "live"
            and not self._requests.other_model
            and entry.status == "completed"
            and entry.run_id == run_id
            and not self._known.has_call(run_id, entry.path)
        )


def _seconds(entry: Entry) -> float:
    if entry.finished_ms is None or not entry.started_ms:
        return 0.0
    return max(entry.finished_ms - entry.started_ms, 0) / 1000
