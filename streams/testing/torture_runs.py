"""Kills an agent before and after each commit, in memory, and reports what a crash could break, with the line.

One run is executed, or taken from its record. Then it is executed again with the answers that are known: with kills,
with each place shaken that asks the process for something, with steps in other orders, and with each answer lost.
"""

from __future__ import annotations

import dis
import inspect
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.run import ENDED, RunSubmitted
from streams.clock import monotonic
from streams.define.agents import Agent
from streams.engine.run import checked_input
from streams.testing.golden_file import GoldenRun
from streams.testing.golden_replay import replay_golden
from streams.testing.harness import Harness
from streams.testing.impurity import Hooks
from streams.testing.instrument import instrumented
from streams.testing.shared_state import differing, fingerprints, variables_of, writers
from streams.testing.torture_findings import Findings
from streams.testing.torture_harness import Ask, Divergence, TortureHarness, TorturePlan
from streams.testing.torture_report import TortureError, TortureFinding, TortureReport
from streams.testing.torture_script import Answers, Script, Signal
from streams.testing.user_functions import Place, agents_of, functions_of

_COMMITS: Final = 500  # of the first execution: a run that goes on is judged as far as that
_SHAKES: Final = 60  # kills for each place that asks the process for something
_ORDERS: Final = 5
_LOST: Final = 50  # answers
_KEY: Final = re.compile(r"key|idempot|attempt|token|nonce|request_id|uuid|tries", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is done: kills, wall seconds, and the seed that chooses kills and orders if there are too many."""

    kills: int = 400
    seconds: float = 60.0
    seed: int = 0


def torture(
    agent: Agent[Any, Any],
    input: Any = None,
    *,
    tools: Mapping[str, Any] | None = None,
    model: Any = None,
    signals: Iterable[Signal] = (),
    agents: Iterable[Agent[Any, Any]] = (),
    seed: int = 0,
    kills: int = 400,
    seconds: float = 60.0,
) -> TortureReport:
    """Execute an agent once, then again with kills and in other orders; raise TortureError with what a crash breaks.

    `tools` and `model` are those of `Harness`. `signals` come at their time: (seconds, event or name, data). `agents`
    are those that it calls by name. Steps are executed once; after that they are answered from what they came to. At
    most `kills` kills in `seconds`.
    """
    report = torture_input(
        agent, input, Bounds(kills, seconds, seed), tools=tools, model=model, signals=signals, agents=agents
    )
    if report.findings:
        raise TortureError(report)
    return report


def torture_input(
    agent: Agent[Any, Any],
    input: Any,
    bounds: Bounds,
    *,
    tools: Mapping[str, Any] | None = None,
    model: Any = None,
    signals: Iterable[Signal] = (),
    agents: Iterable[Agent[Any, Any]] = (),
) -> TortureReport:
    """Do as `torture` does and return what was found."""
    event = RunSubmitted(run_id="run-1", agent=agent.name, input=checked_input(agent, input))
    known = Harness(*agents_of(agent), *agents).agents
    return Torture(known, Script.of(event, signals), Answers(), bounds, live=(dict(tools or {}), model)).report()


def torture_golden(
    golden: GoldenRun, agents: Mapping[str, Agent[Any, Any]], bounds: Bounds | None = None
) -> TortureReport:
    """Torture a recorded run and return what was found; nothing is executed but the agents' functions."""
    difference = replay_golden(golden, agents).difference
    if difference is not None:
        use = "the code that recorded it, or a new record: `pytest --golden-update` or `streams golden add`"
        finding = TortureFinding(
            "differs-from-record", f"{golden.file_name}:1", "the code differs from the record", difference, use
        )
        view = golden.outcome()
        return TortureReport(golden.agent, golden.run_id, view["status"], 0, 0, 0, 0, 0, 0, 0.0, (finding,))
    script, answers = Script.of_golden(golden), Answers.of_golden(golden)
    return Torture(agents, script, answers, bounds or Bounds()).report()


class Torture:
    """The torture of one run."""

    def __init__(
        self,
        agents: Mapping[str, Agent[Any, Any]],
        script: Script,
        answers: Answers,
        bounds: Bounds,
        *,
        live: tuple[dict[str, Any], Any] | None = None,
    ) -> None:
        self._agents = agents
        self._script = script
        self._answers = answers
        self._bounds = bounds
        self._live = live
        self._until = monotonic() + bounds.seconds
        self._hooks = Hooks(self._until)
        self._random = random.Random(bounds.seed)  # noqa: S311  repeatable by design
        self._functions = functions_of(agents.values())
        self._readers = variables_of(self._functions)
        self._findings = Findings()
        self._counts: Counter[str] = Counter()

    def report(self) -> TortureReport:
        """Do all of it, as far as the bounds allow, and return what was found."""
        began = monotonic()
        notes: list[str] = []
        with instrumented(self._functions, [agent.fn for agent in self._agents.values()], self._hooks) as unread:
            before = fingerprints(self._readers)
            base = self._play(TorturePlan(), first=True)
            stepped = differing(before, fingerprints(self._readers))
            if base.stopped:
                notes.append(f"{base.stopped}: judged as far as that")
            if base.unanswered is not None:
                notes.append(f"{base.unanswered}: the record ends there")
            self._state(base, stepped)
            self._kill(base)
            self._shake(base)
            self._reorder(base)
            self._lose(base)
        if unread:
            notes.append(f"no source, so its clock and chance are not shaken: {', '.join(sorted(set(unread)))}")
        if monotonic() > self._until:
            notes.append(f"stopped after {self._bounds.seconds:g} s: give more time for the rest")
        notes += [f"a loop that comes to no operation was left: {place}" for place in self._hooks.loops]
        status, _, error = base.ending()
        if status == "failed":
            notes.append(f"the run failed: {error.get('type')}: {error.get('message')}")
        if status not in ENDED:
            notes.append(f"the run is {status} in the end: it may wait for signals that it does not get here")
        return TortureReport(
            agent=self._script.event.agent,
            run_id=self._script.event.run_id,
            status=status,
            commits=base.commits,
            kills=self._counts["kills"],
            kills_possible=2 * base.commits,
            reorderings=self._counts["orders"],
            lost_answers=self._counts["lost"],
            not_judged=self._counts["not judged"],
            seconds=monotonic() - began,
            findings=self._findings.found(),
            notes=tuple(notes),
        )

    # executions

    def _play(self, plan: TorturePlan, base: TortureHarness | None = None, *, first: bool = False) -> TortureHarness:
        """Execute by a plan; one that follows a stopped execution goes no further than that one."""
        most = _COMMITS if base is None else base.commits if base.stopped else 2 * base.commits + 50
        harness = TortureHarness(
            self._agents,
            self._script,
            self._answers,
            self._hooks,
            plan,
            live=self._live if first else None,
            commits=most,
            until=self._until,
        )
        harness.play()
        for what, places in harness.effects:
            self._findings.outside(what, places)
        return harness

    def _plans(self, base: TortureHarness, most: int) -> list[TorturePlan]:
        """Return a kill before and after each commit, or as many as there may be, by the seed."""
        every = [
            plan
            for commit in range(1, base.commits + 1)
            for plan in (TorturePlan(kill_before=commit), TorturePlan(kill_after=commit))
        ]
        if len(every) <= most:
            return every
        return [every[number] for number in sorted(self._random.sample(range(len(every)), most))]

    def _in_time(self, plans: Iterable[TorturePlan]) -> Iterator[TorturePlan]:
        for plan in plans:
            if monotonic() > self._until:
                return
            yield plan

    def _judge(self, played: TortureHarness, base: TortureHarness) -> list[Divergence]:
        """Return what an execution asked for that the first one did not, with the same journal before it."""
        found = list(played.divergences)
        error = played.unanswered
        if error is not None:
            history = played.log[error.run_id]
            if history == base.log[error.run_id][: len(history)]:
                path = error.perform.path
                found.append(Divergence(error.run_id, path, played.ask(error.run_id, path), rekeyed=False))
            else:
                self._counts["not judged"] += 1
        elif not found and not played.stopped and played.log == base.log and played.ending() != base.ending():
            found.append(Divergence(self._script.event.run_id, "", None, rekeyed=False))
        return found

    # what is done

    def _state(self, base: TortureHarness, stepped: set[str]) -> None:
        """Find variables that the functions change in each replay, in which no step is executed."""
        before = between = fingerprints(self._readers)
        diverging = None
        for plan in self._in_time([TorturePlan(), TorturePlan()]):
            between = fingerprints(self._readers)
            self._hooks.shake(None, 0)
            diverging = next(iter(self._judge(self._play(plan, base), base)), diverging)
        changed = differing(before, between) & differing(between, fingerprints(self._readers))
        readers = {name: self._readers[name] for name in changed}
        if readers:
            self._hooks.shake(None, 0)
            for name, places in writers(readers, lambda: self._play(TorturePlan(), base)).items():
                self._findings.state(name, places, base, diverging)
        elif diverging is not None:
            self._findings.unexplained(base, TorturePlan(), diverging, self._reading(stepped))

    def _reading(self, names: set[str]) -> tuple[str, Place] | None:
        """Return a variable that steps change and an agent's function reads, with the line."""
        for fn in self._functions:
            if inspect.iscoroutinefunction(fn):
                line = None
                for instruction in dis.get_instructions(fn):
                    line = instruction.starts_line or line
                    if instruction.argval in names and instruction.opname.startswith("LOAD") and line:
                        return str(instruction.argval), (fn.__code__.co_filename, line)
        return None

    def _kill(self, base: TortureHarness) -> None:
        for plan in self._in_time(self._plans(base, self._bounds.kills)):
            self._hooks.shake(None, 0)
            self._counts["kills"] += 1
            for divergence in self._judge(self._play(plan, base), base):
                self._findings.unexplained(base, plan, divergence, None)

    def _shake(self, base: TortureHarness) -> None:
        """Change the answers to each place that asks the process for something, in the second life of a run."""
        for site in list(self._hooks.sites):
            rounds = 3 if site.kind == "chance" else 1
            plans = [plan for plan in self._plans(base, _SHAKES) for _ in range(rounds)]
            for number, plan in enumerate(self._in_time(plans)):
                self._hooks.shake(site, number)
                found = self._judge(self._play(plan, base), base)
                if found and not self._diverges(plan, base):
                    self._findings.shaken(site, base, plan, found[0])
                    break
        self._hooks.shake(None, 0)

    def _diverges(self, plan: TorturePlan, base: TortureHarness) -> bool:
        """Return whether it diverges with nothing shaken, too: then the shaken place is not to blame."""
        self._hooks.shake(None, 0)
        return bool(self._judge(self._play(plan, base), base))

    def _reorder(self, base: TortureHarness) -> None:
        """Complete effects in other orders, without a kill and with some."""
        for order in range(self._bounds.seed + 1, self._bounds.seed + 1 + _ORDERS):
            if monotonic() > self._until:
                return
            self._counts["orders"] += 1
            kills = sorted(self._random.sample(range(1, base.commits + 1), min(3, base.commits)))
            for plan in (TorturePlan(shuffle=order, kill_before=commit) for commit in (None, *kills)):
                self._hooks.shake(None, 0)
                for divergence in self._judge(self._play(plan, base), base):
                    self._findings.unexplained(base, plan, divergence, None)

    def _lose(self, base: TortureHarness) -> None:
        """Lose the answer of each effect for good: who asks again asks under a new key."""
        asked = Counter((ask.run_id, ask.name, ask.digest) for ask in base.performed)
        for ask in base.performed[:_LOST]:
            if ask.pure or ask.kind == "llm" or getattr(ask.target, "cache", None) is not None:
                continue
            if monotonic() > self._until:
                return
            self._counts["lost"] += 1
            self._hooks.shake(None, 0)
            played = self._play(TorturePlan(lost=(ask.run_id, ask.path)), base)
            again = Counter[tuple[str, str, str]]()
            for one in played.performed:
                again[one.run_id, one.name, one.digest] += 1
                more = again[one.run_id, one.name, one.digest] > asked[one.run_id, one.name, one.digest]
                if more and one.path != ask.path and _is_retry(ask, one):
                    self._findings.retried(ask, one)
                    break


def _is_retry(ask: Ask, again: Ask) -> bool:
    """Return whether the second effect is the first one again: all arguments are the same but such as are keys."""
    if (ask.run_id, ask.kind, ask.name) != (again.run_id, again.kind, again.name):
        return False
    one, other = _named(ask), _named(again)
    return one.keys() == other.keys() and all(one[name] == other[name] or _KEY.search(name) for name in one)


def _named(ask: Ask) -> dict[str, Any]:
    """Return the arguments of an effect by their names."""
    if isinstance(ask.arguments, dict):
        return ask.arguments
    given, named = ask.arguments, dict[str, Any]()
    if len(given) == 2 and isinstance(given[0], list) and isinstance(given[1], dict):
        given, named = given
    try:
        names = list(inspect.signature(ask.target).parameters)
    except (TypeError, ValueError):
        names = []
    return {
        **{(names[number] if number < len(names) else str(number)): one for number, one in enumerate(given)},
        **named,
    }
