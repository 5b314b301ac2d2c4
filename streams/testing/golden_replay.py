"""Runs a golden run against the code as it is now: in memory, answered from the file, with the outside refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.run import ENDED
from streams.errors import StreamsError
from streams.replay.answers import AnswerSource, RecordedAnswer
from streams.replay.recordings import Recording, Recordings
from streams.replay.run_observations import Observed, outcome_of
from streams.replay.wall import walled
from streams.replay.world import Miss, World
from streams.testing.golden_diff import Replayed, difference_text
from streams.testing.golden_file import GoldenFileError, GoldenRun
from streams.testing.outside import finished

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.engine.decision import Perform
    from streams.engine.entry import Entry
    from streams.model.chat import ChatRequest

_TURNS: Final = 10_000  # things that may happen beyond ten for each recorded entry: code may now repeat itself for ever


class GoldenDifferenceError(StreamsError, AssertionError):
    """Raised for a golden run that the code does not repeat; the message shows the first step that differs."""


class _GoldenRecordings(Recordings):
    """The calls of the file; it notes what was asked, and which answers were given."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        super().__init__(calls)
        self.requests: list[ChatRequest] = []
        self.found: list[Recording] = []

    def name_of(self, request: ChatRequest) -> str:
        self.requests.append(request)
        return super().name_of(request)

    def find(self, name: str, run_id: str, path: str, nth: int) -> Recording | None:
        found = super().find(name, run_id, path, nth)
        if found is not None:
            self.found.append(found)
        return found


class _GoldenAnswers(AnswerSource):
    """Answers from the file; a model call whose request the log no longer had is answered from the journal."""

    def __init__(self, golden: GoldenRun) -> None:
        self._known = _GoldenRecordings(golden.calls)
        super().__init__(self._known)
        self._with_calls = {(call["run_id"], call["path"]) for call in golden.calls}
        self.performs: dict[tuple[str, str], Perform] = {}
        self.requests: dict[tuple[str, str], ChatRequest] = {}
        self.used: dict[tuple[str, str], list[Recording]] = {}

    async def find(
        self, run_id: str, perform: Perform, observed: Observed | None, *, anywhere: bool
    ) -> RecordedAnswer | None:
        place = (run_id, perform.path)
        self._known.requests.clear()
        self._known.found.clear()
        self.performs[place] = perform
        answer = await super().find(run_id, perform, observed, anywhere=anywhere)
        if self._known.requests:
            self.requests[place] = self._known.requests[0]
        if answer is None and perform.kind == "llm" and observed is not None:
            entry = observed.effect(perform)
            if entry is not None and place not in self._with_calls:
                return RecordedAnswer(entry.output, recorded=1)
        self.used[place] = list(self._known.found)
        return answer


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """What the code did with a golden run: `difference` is a text, None if it did the same."""

    golden: GoldenRun
    replayed: Replayed
    misses: tuple[Miss, ...]
    difference: str | None

    def updated(self) -> GoldenRun:
        """Return the golden run of what the code did; raise GoldenFileError if that needs an answer from outside."""
        if self.misses:
            miss = self.misses[0]
            raise GoldenFileError(
                f"cannot re-record: {miss.kind} {miss.name} (path {miss.path} of run {miss.run_id}) has no recorded "
                f"answer; run agent {self.golden.agent} again and add the new run with `streams golden add`"
            )
        status = self.replayed.outcome["status"]
        if status not in ENDED:
            raise GoldenFileError(
                f"cannot re-record: the run is {status} and does not end with what is recorded; run agent "
                f"{self.golden.agent} again and add the new run with `streams golden add`"
            )
        return GoldenRun.of(self.golden.run_id, self.replayed.journals, self.replayed.calls)


def replay_golden(golden: GoldenRun, agents: Mapping[str, Agent[Any, Any]]) -> GoldenResult:
    """Run a golden run against agents by name; raise GoldenFileError if its agent is not among them."""
    if golden.agent not in agents:
        raise GoldenFileError(
            f"agent {golden.agent!r} of run {golden.run_id} is not known: name its package in STREAMS_APPS, or delete "
            f"the file (known: {', '.join(sorted(agents)) or 'none'})"
        )
    answers = _GoldenAnswers(golden)
    world = World(agents, answers, {run: Observed(entries) for run, entries in golden.journals.items()})
    world.submit(*golden.submission())
    finished(_run(world, _TURNS + 10 * sum(map(len, golden.journals.values()))))
    machine = world.machines[golden.run_id]
    replayed = Replayed(
        journals={run: _journal(one.journal.entries) for run, one in world.machines.items()},
        outcome={**outcome_of(machine.view()), "status": world.status(golden.run_id)},
        error=machine.view().error,
        performs=answers.performs,
        requests=answers.requests,
        calls=_calls(golden, answers.used),
    )
    misses = tuple(world.misses)
    world.drop()
    return GoldenResult(golden, replayed, misses, difference_text(golden, replayed, misses))


def check_golden(golden: GoldenRun | Path, *agents: Agent[Any, Any]) -> None:
    """Run a golden run, or its file, against agents; raise GoldenDifferenceError if they do something else."""
    run = GoldenRun.read(golden) if isinstance(golden, Path) else golden
    result = replay_golden(run, {agent.name: agent for agent in agents})
    if result.difference is not None:
        raise GoldenDifferenceError(result.difference)


async def _run(world: World, turns: int) -> None:
    with walled():
        while turns and await world.turn():
            turns -= 1


def _journal(entries: list[Entry]) -> list[Entry]:
    last = {entry.key(): entry for entry in entries}
    return sorted(last.values(), key=lambda entry: entry.seq)


def _calls(golden: GoldenRun, used: Mapping[tuple[str, str], list[Recording]]) -> list[dict[str, Any]]:
    """Return the calls whose answers were given, at the steps that they were given to."""
    by_answer = {id(call["answer"]): call for call in golden.calls}
    return [
        {**by_answer[id(one.answer)], "run_id": run_id, "path": path}
        for (run_id, path), found in used.items()
        for one in found
    ]
