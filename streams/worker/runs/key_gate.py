"""The run's side of concurrency keys: a run that is due wants its lock, begins with it and frees it by ending."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from schemas.key import KeyGranted, KeyReleased, KeyWanted
from schemas.run import ENDED
from streams.engine.decision import Output
from streams.engine.entry import END
from streams.engine.jsonable import from_json, to_json
from streams.engine.messages import ResumeAsked, TimerFired
from streams.runtime.commit_unit import CommitUnit
from streams.worker.runs.dispatcher import HEAD_START_MS

if TYPE_CHECKING:
    from schemas import Event
    from streams.define.agents import Agent
    from streams.engine.messages import Message
    from streams.engine.view import RunView
    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.committer import Committer
    from streams.worker.runs.active_run import ActiveRun
    from streams.worker.runs.dispatcher import RunDispatcher
    from streams.worker.runs.run_manager import RunManager

_OURS: Final = "key/"  # a resume that has its lock


class KeyGate:
    """Stands before the dispatcher."""

    def __init__(
        self,
        agents: dict[str, Agent[Any, Any]],
        dispatcher: RunDispatcher,
        manager: RunManager,
        writer: RecordWriter,
        committer: Committer,
    ) -> None:
        """Let runs of `agents` through to `dispatcher`."""
        self._agents = agents
        self._dispatcher = dispatcher
        self._manager = manager
        self._writer = writer
        self._committer = committer

    def enqueue(self, owned: PartitionAssignment, view: RunView, unit: CommitUnit | None = None) -> None:
        """Queue a run that is due, once it holds its lock if it needs one; the wish joins `unit` if there is one."""
        lock = lock_of(self._agents[view.agent], view.input)
        if lock is None:
            priority = view.meta.get("priority", "default")
            self._dispatcher.add(owned, view.run_id, view.agent, priority, view.created_ms)
        elif view.status == "queued":
            self._want(owned, view, lock, unit)

    def ended(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Free the lock of a run in the unit of its end."""
        lock = lock_of(live.agent, live.machine.journal.view.input)
        if lock is not None:
            self._release(live.machine.journal.view, lock, unit)

    def holds_back(self, live: ActiveRun, message: Message, unit: CommitUnit | None) -> bool:
        """Return whether a message would resume a run that has to get its lock first; it is wanted then."""
        view = live.machine.journal.view
        if view.status != "failed" or not _resumes(message, view):
            return False
        lock = lock_of(live.agent, view.input)
        if lock is not None:
            self._want(live.assignment, view, lock, unit)
        return lock is not None

    def granted(self, live: ActiveRun | None, event: KeyGranted, unit: CommitUnit) -> None:
        """Begin or resume the run that holds its lock now; give the lock back if the run needs it no more."""
        if live is None:
            released = KeyReleased(lock=event.lock, run_id=event.run_id, ending=event.ending + 1)
            self._send(unit, released, f"{event.run_id}/released/{event.ending + 1}", event.lock)
            return
        view = live.machine.journal.view
        if view.status == "queued":
            priority = view.meta.get("priority", "default")
            self._dispatcher.add(live.assignment, live.run_id, view.agent, priority, view.created_ms)
        elif view.status == "failed" and view.ended == event.ending:
            self._manager.send_message(live, ResumeAsked(f"{_OURS}{event.lock}/{event.ending}", event.ending), unit)
        elif view.status in ENDED:
            self._release(view, event.lock, unit)

    def _want(self, owned: PartitionAssignment, view: RunView, lock: str, unit: CommitUnit | None) -> None:
        rank = view.created_ms + HEAD_START_MS.get(view.meta.get("priority", "default"), 0)
        root = view.meta.get("root") or view.run_id
        event = KeyWanted(lock=lock, run_id=view.run_id, root=root, rank=rank, ending=view.ended)
        target = CommitUnit(owned) if unit is None else unit
        self._send(target, event, f"{view.run_id}/wanted/{view.ended}", lock)
        if unit is None:
            self._committer.add(target)

    def _release(self, view: RunView, lock: str, unit: CommitUnit) -> None:
        event = KeyReleased(lock=lock, run_id=view.run_id, ending=view.ended)
        self._send(unit, event, f"{view.run_id}/released/{view.ended}", lock)

    def _send(self, unit: CommitUnit, event: Event, name: str, lock: str) -> None:
        agent = lock.partition("/")[0]
        found = self._agents.get(agent)
        self._writer.send(unit, Output("signals", event, name, lock, agent, found.pool if found else None))


def lock_of(agent: Agent[Any, Any], value: Any) -> str | None:
    """Return the name of the lock that a run with the input `value` (JSON) needs; None for none, as for null."""
    text = _key(agent, value)
    return None if text is None else f"{agent.name}/{hashlib.sha256(text).hexdigest()[:32]}"


def key_of(agent: Agent[Any, Any], value: Any) -> str | None:
    """Return the concurrency key of a run with the input `value` as a request names it: text, or JSON."""
    text = _key(agent, value)
    if text is None:
        return None
    found = orjson.loads(text)
    return found if isinstance(found, str) else text.decode()


def _key(agent: Agent[Any, Any], value: Any) -> bytes | None:
    if agent.concurrency_key is None:
        return None
    try:
        given = from_json(value, agent.input_type)  # a default that was not sent is a value, too
    except ValidationError:
        return None  # such a run fails as soon as it begins
    name = agent.concurrency_key
    found = given.get(name) if isinstance(given, dict) else getattr(given, name, None)
    return None if found is None else orjson.dumps(to_json(found), option=orjson.OPT_SORT_KEYS)


def _resumes(message: Message, view: RunView) -> bool:
    if isinstance(message, ResumeAsked):
        return message.ending in (None, view.ended) and not message.id.startswith(_OURS)
    return isinstance(message, TimerFired) and message.path == f"{END}{view.ended}"
