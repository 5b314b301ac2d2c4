"""Drives an agent's coroutine by hand: one result at a time, each after the function is blocked again."""

from __future__ import annotations

import random
import sys
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypedDict, TypeVar, Unpack

from streams.engine.decision import Timer
from streams.engine.ids import seeded
from streams.error_text import LIBRARIES, error_message, error_type
from streams.errors import ForeignAwait, JournalMismatch, StreamsError

if TYPE_CHECKING:
    from streams.engine.entry import Entry
    from streams.engine.journal import Journal

T = TypeVar("T")

_ENGINE = str(Path(__file__).parent)
_NO_TASK = ("should be used inside a task", "no running event loop", "no current event loop")


class StageMark:
    """A stage that is entered, and the one around it."""

    __slots__ = ("begun_ms", "due_ms", "frame", "name", "outer", "path", "record", "resume", "soft", "timeout")

    def __init__(self, name: str, path: str, frame: Frame, timeout: float | None) -> None:
        self.name = name
        self.path = path
        self.frame = frame
        self.outer = frame.stage
        self.timeout = timeout
        self.begun_ms = 0
        self.due_ms: int | None = None
        self.resume = 0
        self.soft = False  # the time-out was handed over, the grace runs
        self.record: Entry | None = None


class Frame:
    """One line of execution: the agent's function or a branch of a gather, with the prefix of its paths."""

    __slots__ = ("coro", "count", "index", "op", "owner", "prefix", "random", "stage")

    def __init__(self, prefix: str, coro: Coroutine[Any, Any, Any] | None, owner: Any = None, index: int = 0) -> None:
        self.prefix = prefix
        self.count = 0
        self.coro = coro
        self.owner = owner
        self.index = index
        self.op: Op[Any] | None = None
        self.stage: StageMark | None = owner.frame.stage if owner is not None else None
        self.random: random.Random | None = None

    def next_path(self) -> str:
        """Return the path of the next operation of this frame."""
        self.count += 1
        return f"{self.prefix}{self.count}"


class EntryFields(TypedDict, total=False):
    """What an operation records beside its identity."""

    attempt: int
    progress: int | None
    input: Any
    output: Any
    error: Any
    usage: Any
    due_ms: int | None
    started_ms: int
    finished_ms: int | None


class Op(Generic[T]):
    """An operation of a run: made by a method of `Run`, begun when it is awaited, identified by its path."""

    __slots__ = ("digest", "driver", "error", "frame", "made_at", "name", "path", "record", "resume", "value")
    kind: str = ""

    def __init__(self, driver: Driver, name: str = "") -> None:
        self.driver = driver
        self.path = ""
        self.name = name
        self.digest = ""
        self.value: Any = None
        self.error: BaseException | None = None
        self.record: Entry | None = None
        self.resume = 0
        self.made_at = _users_place(sys._getframe(1))  # noqa: SLF001  the line that an error message names
        driver.unawaited[id(self)] = self

    def __await__(self) -> Generator[Any, Any, T]:
        self.driver.check_driving(self)
        result: T = yield self
        return result

    # what kinds of operations differ in

    def begin(self) -> bool:
        """Begin at `self.path`; return True if the frame has to wait, else leave `value` or `error`."""
        journal = self.driver.journal
        self.record = record = journal.find(self.path, self.kind, self.name, self.digest)
        self.resume = journal.resume if record is None else record.resume
        driver = self.driver
        driver.waiting[self.path] = self
        if record is None:
            self.schedule()
        if record is not None and driver.deferred.pop(self.path, None) is record:
            driver.ready.append((self, record))
        elif not journal.replaying:
            self.activate()
        return True

    def schedule(self) -> None:
        """Append what has to be known before the operation is decided; most effects need nothing."""

    def activate(self) -> None:
        """Ask for the effect or the timer, once no record is left that decides the operation."""

    def outcome(self, entry: Entry) -> None:
        """Set `value` or `error` from the entry that decides the operation."""

    def abandon(self) -> None:
        """Stop the effect or timer, because the frame no longer waits for it."""

    def append(self, status: str, **fields: Unpack[EntryFields]) -> Entry:
        """Append an entry of the operation to this turn's unit."""
        return self.driver.journal.append(
            self.path,
            self.kind,
            self.name,
            status=status,
            resume=self.resume,
            digest=self.digest,
            stage=self.stage,
            **fields,
        )

    def decide(self, status: str, **fields: Unpack[EntryFields]) -> None:
        """Append the entry that decides the operation; the frame gets it next."""
        self.driver.ready.append((self, self.append(status, **fields)))

    def interrupt(self, make: Callable[[], BaseException]) -> None:
        """Raise an exception in the frame instead of the operation's outcome."""
        self.driver.waiting.pop(self.path, None)
        self.abandon()
        self.driver.resume(self.frame, None, make())

    @property
    def stage(self) -> str | None:
        """Return the name of the stage that the operation runs in."""
        mark = self.frame.stage
        return None if mark is None else mark.name

    frame: Frame


class TimedOp(Op[T]):
    """An operation that waits for at most `timeout` seconds, from its begin or from the resume that it outlived."""

    __slots__ = ("due_ms", "timeout")

    def __init__(self, driver: Driver, name: str, timeout: float | None) -> None:
        super().__init__(driver, name)
        self.timeout = timeout
        self.due_ms: int | None = None

    def schedule(self) -> None:
        """Set until when it waits; a subclass records it."""
        journal = self.driver.journal
        journal.forbid_new(self.path, self.kind, self.name)
        if self.timeout is not None:
            self.due_ms = journal.now_ms + int(self.timeout * 1000)

    def load(self, record: Entry) -> None:
        """Take the recorded time; a later resume gives the operation its whole time again."""
        journal = self.driver.journal
        self.due_ms = record.due_ms
        if self.due_ms is not None and self.timeout is not None and record.seq < journal.resumed_seq:
            self.due_ms = max(self.due_ms, journal.resumed_ms + int(self.timeout * 1000))

    def arm(self) -> None:
        """Ask for the timer, if the operation has one."""
        if self.due_ms is not None:
            self.driver.journal.decision.timers.append(Timer(self.path, self.due_ms, self.resume))


class MarkOp(Op[T]):
    """An operation that is recorded once and waits for nothing."""

    __slots__ = ()
    named: ClassVar[bool] = True  # whether its name identifies it

    def begin(self) -> bool:
        """Record it, unless it is recorded."""
        journal = self.driver.journal
        self.record = journal.find(self.path, self.kind, self.name if self.named else None, self.digest)
        if self.record is None:
            journal.forbid_new(self.path, self.kind, self.name)
            self.resume = journal.resume
            self.schedule()
        return False


class Driver:
    """Holds the frames of one run, what they wait for, and what is to be handed over next."""

    __slots__ = (
        "children",
        "closed",
        "current",
        "deferred",
        "effects",
        "frames",
        "inbox",
        "inbox_data",
        "journal",
        "outcome",
        "performing",
        "ready",
        "stages",
        "time_ms",
        "unawaited",
        "waiting",
        "watch",
    )

    def __init__(self, journal: Journal, watch: Callable[[Op[Any]], None] | None = None) -> None:
        self.journal = journal
        self.watch = watch  # is given each operation as it begins
        self.waiting: dict[str, Op[Any]] = {}
        self.unawaited: dict[int, Op[Any]] = {}  # operations that were made and have not begun
        self.ready: deque[tuple[Op[Any], Entry]] = deque()
        self.deferred: dict[str, Entry] = {}
        self.stages: dict[str, StageMark] = {}
        self.inbox: dict[str, Entry] = {}  # signals that nobody has taken, by id
        self.inbox_data: dict[str, Entry] = {}  # all of them
        self.children: dict[str, Entry] = {}  # endings of children that came while nobody waited, by child id
        self.effects = 0  # effects that are not decided
        self.performing = 0  # those of them that have an attempt under way
        self.frames: set[Frame] = set()
        self.current: Frame | None = None
        self.outcome: tuple[Any, BaseException | None] | None = None
        self.time_ms = 0
        self.closed = False

    def start(self, coro: Coroutine[Any, Any, Any]) -> Frame:
        """Begin the agent's function."""
        frame = Frame("", coro)
        self.resume(frame)
        return frame

    def branch(self, owner: Any, index: int, prefix: str, work: Any) -> Frame:
        """Begin a branch: a coroutine, or an operation that is a branch by itself."""
        if isinstance(work, Op):
            frame = Frame(prefix, None, owner, index)
            if self._begin(frame, work):
                return frame
            self._finish(frame, work.value, work.error)
            return frame
        frame = Frame(prefix, work, owner, index)
        self.resume(frame)
        return frame

    def resume(self, frame: Frame, value: Any = None, error: BaseException | None = None) -> None:
        """Go on with a frame until it waits again or is over."""
        coro = frame.coro
        frame.op = None
        if coro is None:
            self._finish(frame, value, error)
            return
        self.frames.add(frame)
        while True:
            self.current = frame
            try:
                op = coro.send(value) if error is None else coro.throw(error)
            except StopIteration as stop:
                self.current = None
                self._finish(frame, stop.value, None)
                return
            except BaseException as raised:  # noqa: BLE001  whatever leaves the function is its outcome
                self.current = None
                self._finish(frame, None, _explained(raised))
                return
            self.current = None
            if not isinstance(op, Op):
                self._finish(frame, None, _foreign(coro, op))
                coro.close()
                return
            if self._begin(frame, op):
                return
            value, error = op.value, op.error

    def drain(self) -> None:
        """Hand over what is ready, one at a time."""
        while self.ready and self.outcome is None:
            op, entry = self.ready.popleft()
            if self.waiting.get(op.path) is op:
                self.hand_over(op, entry)

    def hand_over(self, op: Op[Any], entry: Entry) -> None:
        """Hand the deciding entry to an operation and go on with its frame."""
        del self.waiting[op.path]
        self.time_ms = entry.finished_ms or entry.recorded_ms
        try:
            op.outcome(entry)
        except BaseException as unfit:  # noqa: BLE001  a record that no longer fits its type is the function's to know
            op.error = unfit
        self.resume(op.frame, op.value, op.error)

    def interrupt(self, frame: Frame, make: Callable[[], BaseException]) -> None:
        """Raise an exception at the current await of a frame and of all branches that it waits for."""
        if frame.op is not None:
            frame.op.interrupt(make)

    def replay(self, entries: list[Entry], special: Callable[[Entry], None]) -> None:
        """Hand over recorded entries in log order; `special` takes those that belong to no operation."""
        journal = self.journal
        journal.replaying = True
        for entry in entries:
            if self.outcome is not None:
                break
            if entry.path[0] != "~":
                journal.remaining -= 1  # what the function does once it has the last one is new: a fork may end here
            if entry.path[0] == "~" or entry.kind == "stage":
                special(entry)
            else:
                self._replay_one(entry)
            self.drain()
        if self.outcome is not None and journal.remaining > 0 and journal.void_seq is None:
            raise JournalMismatch(
                f"the code ends before {journal.remaining} recorded entries of its journal: restore the old code or "
                "fork the run"
            )
        journal.replaying = False
        if self.outcome is None:
            for op in list(self.waiting.values()):
                op.activate()
            self.drain()

    def _replay_one(self, entry: Entry) -> None:
        op = self.waiting.get(entry.path)
        if op is not None and op.record is entry:
            self.hand_over(op, entry)
        elif self.journal.void_seq is not None and self.journal.void_seq < entry.seq:
            self.deferred[entry.path] = entry
        else:
            raise JournalMismatch(
                f"entry {entry.seq} at path {entry.path} is {entry.kind} {entry.name!r} and the code no longer makes "
                f"it there: restore the old code, guard the change with run.patched(), or fork the run",
                path=entry.path,
            )

    def close(self) -> None:
        """End all frames without running their clean-up steps; the run itself is not touched."""
        self.closed = True
        for frame in self.frames:
            if frame.coro is not None:
                try:
                    frame.coro.close()
                except BaseException as error:  # noqa: BLE001  a `finally` may raise, but nobody is there to care
                    del error
        self.frames.clear()
        self.waiting.clear()
        self.unawaited.clear()

    def check_driving(self, op: Op[Any]) -> None:
        """Refuse an await outside of the agent's function, and end it quietly when the frame is being dropped."""
        if self.closed:
            raise GeneratorExit
        if self.current is None:
            raise StreamsError(
                f"run.{op.kind} was awaited outside of the agent's function: steps and tools return values, "
                "only the function itself awaits its run"
            )
        if op.path:
            raise StreamsError(f"the operation at path {op.path} was awaited twice: keep its result in a variable")

    def random(self) -> random.Random:
        """Return the generator of the current frame, seeded by run and path."""
        frame = self.current
        if frame is None:
            raise StreamsError("run.random() is for the agent's function; inside a step use the random module")
        if frame.random is None:
            frame.random = seeded(self.journal.run_id, frame.prefix)
        return frame.random

    def _begin(self, frame: Frame, op: Op[Any]) -> bool:
        self.unawaited.pop(id(op), None)
        op.frame = frame
        op.path = frame.next_path()
        frame.op = op
        if self.watch is not None:
            self.watch(op)
        waits = op.begin()
        if not self.ready:  # else a replay would meet a decided operation before those that began with it
            self.journal.decision.cut()
        if not waits:
            frame.op = None
        return waits

    def _finish(self, frame: Frame, value: Any, error: BaseException | None) -> None:
        self.frames.discard(frame)
        frame.op = None
        if frame.owner is None:
            if error is None and self.unawaited:
                error = _forgotten(next(iter(self.unawaited.values())), value)
            self.outcome = (value, error)
        else:
            frame.owner.branch_done(frame.index, value, error)


_ADVICE = (
    "an agent's function awaits operations of its run only: put HTTP, database and model clients into run.step() or a "
    "@tool, ask models by run.llm(), sleep by run.sleep(), and limit the time by timeout= of an operation or by "
    "run.stage(name, timeout=…)"
)


def _foreign(coro: Any, awaited: Any) -> ForeignAwait:
    """Describe an await on something that is no operation of the run, with the author's line where it stands."""
    inner, place = coro, "an unknown line"
    while inner is not None:
        running = getattr(inner, "cr_frame", None)
        if running is not None and _is_users(running.f_code.co_filename):
            place = f"{running.f_code.co_filename}:{running.f_lineno}"
        inner = getattr(inner, "cr_await", None)
    return ForeignAwait(f"{place} awaits {type(awaited).__name__}, which is no operation of the run: {_ADVICE}")


def _explained(error: BaseException) -> BaseException:
    """Return the error, or a ForeignAwait for one by which a library says that no task of an event loop runs it."""
    text = error_message(error)
    if error_type(error) != "AsyncLibraryNotFoundError" and not (
        type(error) is RuntimeError and any(sign in text for sign in _NO_TASK)
    ):
        return error
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_users(frame.f_code.co_filename)
    ]
    explained = ForeignAwait(f"{places[-1] if places else 'an unknown line'} needs an event loop ({text}): {_ADVICE}")
    explained.__cause__ = error
    return explained


def _forgotten(op: Op[Any], value: Any) -> StreamsError:
    """Describe an operation that was made and did not happen."""
    way = "return await" if value is op else "await"
    return StreamsError(
        f"{op.made_at} makes run.{op.kind} {op.name!r} and never awaits it, so it did not happen: "
        f"write `{way} run.{op.kind}(…)`"
    )


def _users_place(frame: FrameType | None) -> str:
    """Return file and line of the code that is neither ours nor a library's."""
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return "an unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


@lru_cache(maxsize=4096)
def _is_users(file: str) -> bool:
    return not file.startswith((*LIBRARIES, _ENGINE, "<"))
