"""A harness that is killed at one place, and notes what each life of a run asked for."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.clock import monotonic
from streams.define.agents import Agent
from streams.engine.decision import Decision, Output, Perform
from streams.engine.driver import Op
from streams.engine.effects import EffectOp
from streams.engine.entry import END, Entry
from streams.engine.jsonable import args_to_json
from streams.engine.machine import Machine
from streams.engine.messages import ErrorInfo, Message, Submit
from streams.engine.run import current_key
from streams.engine.view import fold
from streams.testing.effects_outside import allowing, watching
from streams.testing.harness import BEGINNING_MS, Harness
from streams.testing.impurity import Hooks
from streams.testing.outcomes import Hang
from streams.testing.torture_script import Answers, EffectAnswer, Script
from streams.testing.user_functions import Place

_WIDTH: Final = 90  # characters of arguments in a text
_LOST: Final = ErrorInfo(
    "ConnectionError", "the answer was lost on its way", types=("ConnectionError", "OSError", "Exception")
)


@dataclass(frozen=True, slots=True)
class TorturePlan:
    """What happens to one execution: the commit before or after a kill, the order, the answer that is lost."""

    kill_before: int | None = None
    kill_after: int | None = None
    shuffle: int | None = None
    lost: tuple[str, str] | None = None  # run and path

    def __str__(self) -> str:
        parts = [
            None if self.lost is None else "its answer is lost on the way",
            None if self.kill_before is None else f"a kill before commit {self.kill_before}",
            None if self.kill_after is None else f"a kill after commit {self.kill_after}",
            None if self.shuffle is None else f"steps in the order of seed {self.shuffle}",
        ]
        return ", ".join(part for part in parts if part) or "a replay"


@dataclass(frozen=True, slots=True)
class Ask:
    """One operation as it was asked for, with the line that asks."""

    run_id: str
    path: str
    kind: str
    name: str
    arguments: Any
    digest: str
    place: str
    pure: bool = False
    target: Any = None  # the function of a step, the tool of a tool call

    def __str__(self) -> str:
        text = "" if self.arguments is None else json.dumps(self.arguments, ensure_ascii=False, default=str)
        shown = text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
        return f"{self.kind} {self.name}({shown[1:-1] if shown.startswith('[') and shown.endswith(']') else shown})"


@dataclass(frozen=True, slots=True)
class Divergence:
    """Something that one life of a run asked for and another one did not: `ask` is the new one."""

    run_id: str
    path: str
    ask: Ask | None
    rekeyed: bool  # the effect was executed before, under another key


class TortureStop(Exception):
    """Raised to leave an execution that goes on for too long."""


class UnansweredError(TortureStop):
    """Raised to leave an execution that asks for what nothing answers."""

    def __init__(self, run_id: str, perform: Perform) -> None:
        super().__init__(f"nothing answers {perform.kind} {perform.name}")
        self.run_id = run_id
        self.perform = perform


class TortureHarness(Harness):
    """Executes a script by a plan; effects are answered as they were before, and `live` makes them the first time."""

    def __init__(
        self,
        agents: Mapping[str, Agent[Any, Any]],
        script: Script,
        answers: Answers,
        hooks: Hooks,
        plan: TorturePlan,
        *,
        live: tuple[dict[str, Any], Any] | None = None,
        commits: int,
        until: float,
    ) -> None:
        tools, model = live or ({}, None)
        shuffle = None if plan.shuffle is None else random.Random(plan.shuffle)  # noqa: S311  repeatable by design
        lost = () if plan.kill_before is None else (plan.kill_before,)
        super().__init__(*agents.values(), tools=tools, model=model, crash_at=lost, shuffle=shuffle, parted=True)
        self.script = script
        self.answers = answers
        self.hooks = hooks
        self.plan = plan
        self.live = live is not None
        self.most = commits
        self.until = until
        self.log: dict[str, list[tuple[str, str, str]]] = defaultdict(list)  # what was committed, by run
        self.performed: list[Ask] = []
        self.effects: list[tuple[str, list[Place]]] = []  # on the outside, and not in a step
        self.divergences: list[Divergence] = []
        self.unanswered: UnansweredError | None = None
        self.stopped = ""
        self._ops: list[tuple[str, Op[Any]]] = []
        self._keys: dict[tuple[str, str, int], str] = {}
        self._lives = 0  # effects that were executed before the kill
        self._lost: list[Ask] = []  # effects that were executed, and whose entry was lost in a kill

    def play(self) -> None:
        """Execute the script to its end, or as far as it goes."""
        self.hooks.driving = True
        event = self.script.event
        try:
            with watching(lambda what, places: self.effects.append((what, places))):
                self._messages.append((event.run_id, Submit(event)))
                for at_ms, run_id, letter in self.script.letters:
                    self.advance(max(0, BEGINNING_MS + at_ms - self.now_ms) / 1000)
                    self._messages.append((run_id, letter))
                self.run()
        except UnansweredError as error:
            self.unanswered = error
        except TortureStop as stop:
            self.stopped = str(stop)
        finally:
            self.hooks.driving = False
            for machine in self._machines.values():
                machine.drop()
        self._note_mismatches()
        ended = not (self.divergences or self.unanswered or self.stopped)
        if ended and self.plan.shuffle is None:  # in another order, another branch may have ended its wait
            again = {(one.run_id, one.path) for one in self.performed[self._lives :]}
            gone = [ask for ask in self._lost if (ask.run_id, ask.path) not in again]
            self.divergences += [Divergence(ask.run_id, ask.path, None, rekeyed=False) for ask in gone]

    def ask(self, run_id: str, path: str) -> Ask | None:
        """Return what was asked for last at a path."""
        return next((_ask(run_id, op) for run, op in reversed(self._ops) if (run, op.path) == (run_id, path)), None)

    def ending(self) -> Any:
        """Return how the run stands: status, result, and error without its places in files."""
        entries = self.entries(self.script.event.run_id)
        if not entries:
            return "queued", None, {}
        view = fold(entries)
        error = {name: value for name, value in (view.error or {}).items() if name != "traceback"}
        return view.status, view.result, error

    # what it changes of a harness

    def _new_machine(self, run_id: str) -> Machine:
        agent = self.agents[self._agent_of[run_id]]
        self.hooks.run_id = run_id
        return Machine(
            agent,
            run_id,
            pool=agent.pool,
            now_ms=self.now_ms,
            agents=self.agents,
            watch=lambda op: self._ops.append((run_id, op)),
        )

    def _deliver(self, run_id: str, message: Message, *, whole: bool = False) -> bool:
        self._machine(run_id)
        self.hooks.run_id = run_id
        return super()._deliver(run_id, message, whole=whole)

    def _commit(self, run_id: str, decision: Decision, *, whole: bool = False) -> bool:
        before = self.commits
        sound = super()._commit(run_id, decision, whole=whole)
        if sound and self.plan.kill_after is not None and before < self.plan.kill_after <= self.commits:
            self.crash()
        return sound

    def crash(self) -> None:
        """Lose everything in memory, and note the effects that have no entry: they have to be asked for again."""
        known = {(run_id, entry.path) for run_id in self.run_ids for entry in self.entries(run_id)}
        self._lost += [ask for ask in self.performed if (ask.run_id, ask.path) not in known]
        self._lives = len(self.performed)
        super().crash()

    def _committed(self, run_id: str, entries: list[Entry], outputs: list[Output]) -> bool:
        if self.commits >= self.most:
            raise TortureStop(f"it goes on after {self.most} commits")
        if monotonic() > self.until:
            raise TortureStop("the time is over")
        sound = super()._committed(run_id, entries, outputs)
        if sound:
            self.log[run_id] += [(entry.path, entry.digest, entry.status) for entry in entries]
        return sound

    def _perform(self, run_id: str, perform: Perform) -> None:
        place, key = (run_id, perform.path, perform.resume), perform.idempotency_key
        ask = self.ask(run_id, perform.path)
        if self._keys.setdefault(place, key) != key:
            self._keys[place] = key
            self.divergences.append(Divergence(run_id, perform.path, ask, rekeyed=True))
        if ask is not None and perform.attempt == 1:
            self.performed.append(ask)
        if self.plan.lost == (run_id, perform.path):
            self._finish(run_id, perform, None, _LOST)
            return
        answer = self.answers.find(perform)
        if answer is None:
            if not self.live:
                raise UnansweredError(run_id, perform)
            answer = self._make(perform)
            self.answers.add(perform, answer)
        if not answer.hangs:
            self._finish(run_id, perform, answer.value, answer.error, answer.usage)
        elif perform.timeout is not None:
            error = ErrorInfo("Timeout", f"{perform.name} took longer than {perform.timeout} s", timed_out=True)
            self._finish(run_id, perform, None, error)

    def _make(self, perform: Perform) -> EffectAnswer:
        """Make an attempt for the first time, in a world in which it may do what it likes."""
        token = current_key.set(perform.idempotency_key)
        self.hooks.driving = False
        try:
            with allowing():
                value, usage = self.outside.answer(perform)
        except Hang:
            return EffectAnswer(hangs=True)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001  the effect's error is the machine's to judge
            return EffectAnswer(error=ErrorInfo.of(raised, timed_out=isinstance(raised, TimeoutError)))
        finally:
            self.hooks.driving = True
            current_key.reset(token)
        return EffectAnswer(value, None, usage)

    def _note_mismatches(self) -> None:
        """Note the runs that could not go on because their function no longer fits their journal."""
        for run_id in self.run_ids:
            for entry in self.entries(run_id):
                error = entry.error if entry.path.startswith(END) else None
                if error and error.get("type") == "JournalMismatch":
                    path = error.get("entry") or ""
                    self.divergences.append(Divergence(run_id, path, self.ask(run_id, path), rekeyed=False))


def _ask(run_id: str, op: Op[Any]) -> Ask:
    arguments: Any = None
    if isinstance(op, EffectOp):
        arguments = op.show
    elif hasattr(op, "event"):
        arguments = args_to_json(op.event)
    elif hasattr(op, "input"):
        arguments = op.input
    elif hasattr(op, "seconds"):
        arguments = [op.seconds]
    pure = isinstance(op, EffectOp) and op.pure
    target = (op.fn or op.tool) if isinstance(op, EffectOp) else None
    return Ask(run_id, op.path, op.kind, op.name, arguments, op.digest, op.made_at, pure, target)
