"""Every state that can be reached, breadth first, so that the first trace found is a shortest one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from tests.unit.protocol_model import _broker as brokers
from tests.unit.protocol_model import _worker as workers
from tests.unit.protocol_model._broker import Move
from tests.unit.protocol_model._rules import Rules
from tests.unit.protocol_model._state import STEPS, Faults, State, first, get


class Scene(NamedTuple):
    """How much there is to do, and what may go wrong meanwhile."""

    faults: Faults
    submissions: int = 2
    steps: int = 1
    opening: tuple[str, ...] = ()  # moves that come first, for what happens only far from the beginning


class Found(NamedTuple):
    """What a search came to: the states seen and, if a promise was broken, which one and how."""

    states: int
    broken: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        """Show the trace, one move a line."""
        lines = [f"{self.broken or 'holds'} ({self.states} states)", *(f"  {move}" for move in self.trace)]
        return "\n".join(lines)


def search(rules: Rules, scene: Scene) -> Found:
    """Look at every state of a scene until a promise is broken."""
    start = _opened(rules, scene)
    came: dict[State, tuple[str, State] | None] = {start: None}
    todo = deque([start])
    while todo:
        state = todo.popleft()
        following = list(_moves(state, rules, scene))
        broken = _broken(state) or ("" if following else _unfinished(state, scene))
        if broken:
            return Found(len(came), broken, _trace(came, state))
        for move, after in following:
            if after not in came:
                came[after] = (move, state)
                todo.append(after)
    return Found(len(came), "", ())


def _opened(rules: Rules, scene: Scene) -> State:
    state = first(scene.faults)
    for wanted in scene.opening:
        state = next(after for move, after in _moves(state, rules, scene) if move == wanted)
    return state


def _moves(state: State, rules: Rules, scene: Scene) -> Iterator[Move]:
    yield from brokers.moves(state, rules)
    for number in (0, 1):
        yield from workers.moves(state, number, rules, scene.submissions, scene.steps)


def _trace(came: dict[State, tuple[str, State] | None], state: State) -> tuple[str, ...]:
    moves: list[str] = []
    while (before := came[state]) is not None:
        moves.append(before[0])
        state = before[1]
    return tuple(reversed(moves))


def _broken(state: State) -> str:
    """Return which promise a state breaks."""
    return state.truth.broken or _ahead(state) or _at_rest(state)


def _ahead(state: State) -> str:
    """Return whether a store holds what is not true."""
    true = dict(state.truth.rows)
    for worker in state.workers:
        for key, value in worker.store:
            known = true.get(key, 0)
            if known < value or (known != value and key not in ("count", "offset")):
                return f"a store is ahead of the log: {key}"
    return ""


def _at_rest(state: State) -> str:
    """Return where, with nothing under way, the journal or its owner's store is not what is true."""
    broker = state.broker
    if any(txn.phase != "idle" for txn in broker.txns):
        return ""
    if brokers.fold(broker, 0, broker.end) != state.truth.rows:
        return "the journal is not what was committed"
    worker = state.workers[broker.owner]
    owns = broker.owner >= 0 and worker.assigned == broker.owned and worker.phase == "ready"
    if owns and worker.sending is None and not worker.ready:
        if worker.store != state.truth.rows:
            return "the owner's store is not what was committed"
        if worker.position != state.truth.offset:
            return "the owner is at another offset than the log"
    return ""


def _unfinished(state: State, scene: Scene) -> str:
    """Return what is left to do although nothing can happen any more."""
    if state.truth.offset < scene.submissions:
        return "an acknowledged run is never taken in"
    if any(not get(state.truth.rows, step) for step in STEPS[: scene.steps]):
        return "a run never ends"
    return ""
