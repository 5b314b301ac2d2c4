"""Whatever user code raises is the outcome of its attempt: recorded, tried again by its policy, harmless to others."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams import Reject, RetryPolicy, tool
from streams.define.policies import asked_pause
from streams.engine.decision import Perform
from streams.engine.ending import describe
from streams.engine.messages import EffectDone, ErrorInfo
from streams.error_text import MESSAGE_CHARS, TRACEBACK_CHARS, error_message, error_traceback
from streams.runtime.tasks import BackgroundTasks
from streams.tools._call import call_tool
from streams.user_code import called, cancel
from streams.worker.reactions.lanes import ReactionLanes
from streams.worker.runs.effects import EffectRunner
from tests.unit.limits.test_budget_client import Homes
from tests.unit.limits.test_call_budget import CHILD
from tests.unit.strange import MAKERS, PLAIN, NoText

RECORD_BYTES = 64_000  # of an entry, however much the exception says

crashes: list[Exception] = []


@pytest.fixture(autouse=True)
def _no_crash() -> Any:
    crashes.clear()
    yield
    assert crashes == []


def _effects(tasks: BackgroundTasks) -> EffectRunner:
    return EffectRunner(tasks, cast("Any", None), cast("Any", None), Homes().budget_client(), lambda stage: None)


def _perform(fn: Callable[..., Any], timeout: float | None = None, *, made: Any = None) -> Perform:
    kind: Any = "step" if made is None else "tool"
    args: dict[str, Any] = {"args": (), "kwargs": {}} if made is None else {}
    return Perform(
        "1", 0, kind, "work", args, None, RetryPolicy(), timeout, 1, pure=False, idempotency_key="", fn=fn, tool=made
    )


async def _done(perform: Perform) -> EffectDone:
    done: asyncio.Future[EffectDone] = asyncio.get_running_loop().create_future()
    _effects(BackgroundTasks(crashes.append)).start(CHILD, perform, done.set_result)
    async with asyncio.timeout(5):
        return await done


def _recorded(report: EffectDone, name: str) -> None:
    assert report.error is not None
    assert report.error.type == name
    assert report.error.message
    assert len(repr(report.error).encode()) < RECORD_BYTES
    assert not report.error.timed_out
    assert report.error.after is None


@pytest.mark.parametrize("timeout", [None, 3.0], ids=["", "with a time-out"])
@pytest.mark.parametrize("name", PLAIN)
async def test_a_plain_step_fails_with_what_it_raised(name: str, timeout: float | None) -> None:
    make, recorded = PLAIN[name]

    def work() -> None:
        raise make()

    _recorded(await _done(_perform(work, timeout)), recorded)


@pytest.mark.parametrize("timeout", [None, 3.0], ids=["", "with a time-out"])
@pytest.mark.parametrize("name", MAKERS)
async def test_an_async_step_fails_with_what_it_raised(name: str, timeout: float | None) -> None:
    make, recorded = MAKERS[name]

    async def work() -> None:
        await asyncio.sleep(0)
        raise make()

    _recorded(await _done(_perform(work, timeout)), recorded)


@pytest.mark.parametrize("name", MAKERS)
async def test_a_tool_fails_with_what_it_raised(name: str) -> None:
    make, recorded = MAKERS[name]

    @tool
    async def waits() -> None:
        """Wait."""
        raise make()

    @tool
    def blocks() -> None:
        """Block."""
        raise make()

    for made in (waits, blocks):
        report = await _done(_perform(made.fn, 3.0, made=made))
        _recorded(report, recorded)
        assert len(report.calls) == 1


async def test_a_step_whose_own_task_was_cancelled_fails() -> None:
    async def work() -> None:
        inner = asyncio.create_task(asyncio.sleep(9))
        inner.cancel()
        await inner

    _recorded(await _done(_perform(work, 3.0)), "CancelledError")


async def test_a_step_that_cancels_itself_fails() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(9)

    _recorded(await _done(_perform(work)), "CancelledError")


async def test_a_time_out_is_still_one() -> None:
    async def work() -> None:
        await asyncio.sleep(9)

    report = await _done(_perform(work, 0.01))
    assert report.error is not None
    assert report.error.timed_out


async def test_a_cancellation_that_we_ask_for_has_no_outcome() -> None:
    reports: list[EffectDone] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(9)

    task = _effects(BackgroundTasks(crashes.append)).start(CHILD, _perform(work), reports.append)
    await begun.wait()
    cancel(task)
    await asyncio.wait([task])
    assert task.cancelled()
    assert reports == []


async def test_what_a_tools_arguments_raise_is_its_error() -> None:
    class Odd:
        @staticmethod
        def model_validate(_args: Any, **_options: Any) -> None:
            raise SystemExit(2)

    made = SimpleNamespace(args_model=Odd, name="odd", timeout=1.0)
    with pytest.raises(Exception, match="SystemExit: 2"):
        await call_tool(cast("Any", made), {})


@pytest.mark.parametrize("name", PLAIN)
def test_every_description_is_made_and_bounded(name: str) -> None:
    make, recorded = PLAIN[name]
    try:
        raise make() from NoText()
    except BaseException as error:  # noqa: BLE001 - that is what is described
        info, told, trace, pause = ErrorInfo.of(error), describe(error), error_traceback(error), asked_pause(error)
    assert trace
    assert pause is None
    assert info.type == told["type"] == recorded
    assert info.message == told["message"] != ""
    assert len(info.message) <= MESSAGE_CHARS
    assert len(info.traceback) <= TRACEBACK_CHARS
    assert repr(info).encode()
    assert len(error_message(make(), 500)) <= 500


def test_credentials_are_masked_wherever_the_text_is_cut() -> None:
    for before in range(3_950, 4_010):
        assert "hunter2hunter2" not in error_message(ValueError("x" * before + " password=hunter2hunter2 "))


@pytest.mark.parametrize(
    ("given", "pause"),
    [(7, 7.0), (0.5, 0.5), (-3, 0.0), (math.nan, None), (math.inf, None), (1e300, None), (10**400, None), ("7", None)],
)
def test_a_pause_is_a_number_of_seconds_up_to_a_year(given: Any, pause: float | None) -> None:
    error = ValueError("busy")
    error.retry_after = given  # type: ignore[attr-defined]
    assert asked_pause(error) == pause


def test_a_plain_function_of_the_user_raises_exceptions_only() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(Exception, match="SystemExit: 3") as raised:
        called(leave)
    assert isinstance(raised.value.__cause__, SystemExit)
    with pytest.raises(Reject):
        called(lambda: (_ for _ in ()).throw(Reject("no")))


class _Owned:
    partition = 0


class _Lanes(ReactionLanes):
    """Lanes of which only the attempt is used."""

    def __init__(self) -> None:
        super().__init__(
            BackgroundTasks(crashes.append),
            cast("Any", None),
            cast("Any", None),
            cast("Any", SimpleNamespace(succeeded=lambda name: None, is_flooded=lambda name: False)),
        )

    async def attempt(self, fn: Callable[[Any], Any], attempts: int = 1) -> Any:
        policy = RetryPolicy(attempts=attempts, first=8.0, jitter=False)
        reaction = SimpleNamespace(name="r", fn=fn, retry=policy)
        item = SimpleNamespace(
            owned=_Owned(),
            record=SimpleNamespace(topic=lambda: "t", offset=lambda: 7),
            reaction=reaction,
            given=None,
            attempt=1,
            event_id="e",
            error=None,
            due_ms=0,
            retrying=False,
            stored=False,
        )
        async with asyncio.timeout(5):
            await self._attempt(cast("Any", item))
        return item


@pytest.mark.parametrize("name", PLAIN)
async def test_a_reaction_fails_with_what_it_raised_and_is_tried_again(name: str) -> None:
    make, _ = PLAIN[name]

    def plain(_event: Any) -> None:
        raise make()

    async def waits(_event: Any) -> None:
        await asyncio.sleep(0)
        raise make()

    for fn in (plain, waits) if name in MAKERS else (plain,):
        given_up = await _Lanes().attempt(fn)
        assert given_up.error is not None
        again = await _Lanes().attempt(fn, attempts=3)
        assert (again.error, again.retrying, again.attempt) == (None, True, 2)
