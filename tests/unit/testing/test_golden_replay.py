"""Golden runs are repeated from their file alone, and what the code does otherwise is shown at its first step."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from streams import Run, StepFailed, agent, hours
from streams.telemetry import keep_secret
from streams.testing import GoldenRun, Harness, check_golden
from streams.testing.golden_file import GoldenFileError
from streams.testing.golden_replay import GoldenDifferenceError, GoldenResult, replay_golden
from tests.unit.replay import made
from tests.unit.replay.made import Verdict, look_up, stamp, summer


@pytest.fixture(scope="module")
def golden() -> GoldenRun:
    """Run the agent with calls of every kind for real, and give its golden run."""
    known, calls = asyncio.run(made.recorded_with_calls())
    return GoldenRun.of("run-0", {run: one.entries for run, one in known.runs.items()}, calls)


def changed(term: str = "x", judge: str = "Judge.", *, more: bool = False) -> Any:
    """Return the agent with one thing changed."""

    @agent
    async def asker(text: str, run: Run) -> list[str]:
        found = await run.gather(*[run.tool(look_up, term=text + end) for end in "ab" + term], return_exceptions=True)
        stamped = await run.step(stamp)
        async with run.stage("JUDGE"):
            verdict = await run.llm(
                judge, [str(one) for one in found if not isinstance(one, StepFailed)], returns=Verdict
            )
            again = await run.llm("Say it.", verdict.word)
        if more:
            await run.tool(look_up, term="more")
        return [*map(str, found), stamped, again, await run.call(summer, again), run.now().isoformat()]

    return asker


def replayed(golden: GoldenRun, asker: Any = made.asker) -> GoldenResult:
    return replay_golden(golden, {**made.AGENTS, "asker": asker})


def difference(golden: GoldenRun, asker: Any) -> str:
    text = replayed(golden, asker).difference
    assert text is not None
    return text


def test_the_same_code_does_the_same_and_calls_nothing(golden: GoldenRun) -> None:
    result = replayed(golden)
    assert (result.difference, result.misses, made.calls) == (None, (), [])


def test_hundreds_of_runs_take_milliseconds_each(tmp_path: Path) -> None:
    """The time is printed and not judged: it is that of the machine."""
    count = 200
    known, calls = asyncio.run(made.recorded_with_calls(count))
    for number in range(count):
        family = {f"run-{number}", *known.runs[f"run-{number}"].children()}
        GoldenRun.of(f"run-{number}", {run: known.runs[run].entries for run in family}, calls).write(
            tmp_path / f"{number}.golden.json"
        )
    began = process_time()
    results = [replayed(GoldenRun.read(path)) for path in tmp_path.iterdir()]
    print(f"{(process_time() - began) * 1000 / count:.2f} ms of CPU a golden run")
    assert (len(results), {result.difference for result in results}) == (count, {None})


def test_the_file_holds_all_that_is_needed(golden: GoldenRun, tmp_path: Path) -> None:
    path = tmp_path / "golden" / golden.file_name
    golden.write(path)
    again = GoldenRun.read(path)
    assert again.text() == golden.text()
    assert replayed(again).difference is None


def test_the_file_is_readable_and_masks_secrets(golden: GoldenRun, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(golden.text())
    assert list(document) == [
        "golden", "run_id", "agent", "submitted_at", "input", "options", "outcome", "entries", "children",
    ]  # fmt: skip
    assert document["outcome"]["status"] == "succeeded"
    tools = [entry for entry in document["entries"] if entry["kind"] == "tool"]
    assert tools[0]["input"] == {"term": "q0a"}
    assert tools[0]["output"] == "q0a!"
    assert "traceback" not in golden.text()
    [judged] = [entry for entry in document["entries"] if entry["name"] == "Verdict"]
    assert judged["calls"][0]["request"]["messages"][0]["content"].startswith("Judge.")
    keep_secret(["Sum it up."])
    try:
        assert "Sum it up." not in golden.text()
    finally:
        keep_secret([])


def test_other_arguments_are_shown(golden: GoldenRun) -> None:
    text = difference(golden, changed("y"))
    assert "differs from its golden run from step 3 on" in text
    assert 'expected  tool look_up(term="q0x")' in text
    assert 'actual    tool look_up(term="q0y")' in text
    assert "not recorded: tool look_up" in text
    assert "actual    none: the step above cannot be answered" in text


def test_an_edited_prompt_is_shown_as_a_diff(golden: GoldenRun) -> None:
    text = difference(golden, changed(judge="Judge harder."))
    assert "-system: Judge." in text
    assert "+system: Judge harder." in text
    assert "not recorded: llm Verdict" in text


def test_a_new_call_is_named(golden: GoldenRun) -> None:
    text = difference(golden, changed(more=True))
    assert "expected  call summer" in text
    assert 'actual    tool look_up(term="more")' in text
    with pytest.raises(GoldenFileError, match=r"cannot re-record: tool look_up .*golden add"):
        replayed(golden, changed(more=True)).updated()


def test_a_call_that_is_no_longer_made_is_named(golden: GoldenRun) -> None:
    @agent
    async def asker(text: str, run: Run) -> str:
        return await run.tool(look_up, term=text + "a")

    text = difference(golden, asker)
    assert "at another place of the function" in text
    assert 'actual    succeeded: "q0a!"' in text


def test_a_step_that_the_code_does_not_come_to_is_named(golden: GoldenRun) -> None:
    @agent
    async def asker(text: str) -> str:
        return text

    assert "actual    the code does not come to this step" in difference(golden, asker)


def test_an_error_is_shown_with_its_place(golden: GoldenRun) -> None:
    @agent
    async def asker(text: str, run: Run) -> str:
        raise ValueError("no such customer")

    text = difference(golden, asker)
    assert "actual    failed: ValueError: no such customer" in text
    assert "test_golden_replay.py" in text


def test_a_change_of_a_child_is_shown_in_the_child(golden: GoldenRun) -> None:
    @agent
    async def summer(text: str, run: Run) -> str:
        return await run.llm("Sum it up briefly.", text)

    text = replay_golden(golden, {"asker": made.asker, "summer": summer}).difference
    assert text is not None
    assert "of its child" in text
    assert "+system: Sum it up briefly." in text


def test_what_needs_no_answer_is_written_down(golden: GoldenRun, tmp_path: Path) -> None:
    @agent
    async def asker(text: str, run: Run) -> list[str]:
        """Ask in another order, and less."""
        stamped = await run.step(stamp)
        found = await run.gather(*[run.tool(look_up, term=text + end) for end in "ba"])
        return [*found, stamped]

    result = replayed(golden, asker)
    assert result.difference is not None
    path = tmp_path / golden.file_name
    result.updated().write(path)
    again = GoldenRun.read(path)
    assert replayed(again, asker).difference is None
    assert replayed(again).difference is not None
    assert again.outcome()["result"] == ["q0b!", "q0a!", "stamp 5"]
    assert "children" not in json.loads(again.text())


def test_model_calls_move_with_their_steps(golden: GoldenRun) -> None:
    @agent
    async def asker(text: str, run: Run) -> list[str]:
        await run.progress("begun", 10)
        return list(await made.asker.fn(text, run))

    updated = replayed(golden, asker).updated()
    assert replayed(updated, asker).difference is None
    assert len(updated.calls) == len(golden.calls) == 3


def test_a_run_that_no_longer_ends_is_not_written_down(golden: GoldenRun) -> None:
    @agent
    async def asker(text: str, run: Run) -> str:
        while True:
            await run.sleep(hours(1))

    result = replayed(golden, asker)
    assert result.difference is not None
    with pytest.raises(GoldenFileError, match="does not end"):
        result.updated()


def waiter_of(pause: float) -> Any:
    """Return an agent that sleeps and waits for an answer."""

    @agent
    async def waiter(text: str, run: Run) -> str:
        await run.sleep(pause)
        return f"{await run.wait_for('answered')} {run.now():%H:%M}"

    return waiter


def test_signals_and_time_are_those_of_the_run() -> None:
    waiter = waiter_of(hours(3))
    harness = Harness(waiter)
    run_id = harness.submit(waiter, "x")
    harness.advance(hours(5))
    harness.signal(run_id, "answered", {"yes": True})
    harness.run()
    golden = GoldenRun.of(run_id, {run_id: harness.entries(run_id)})
    check_golden(golden, waiter)
    both = r"(?s)expected  sleep \S*\(10800\S*\)\s+actual    sleep \S*\(14400"
    with pytest.raises(GoldenDifferenceError, match=both):
        check_golden(golden, waiter_of(hours(4)))


def test_failed_and_cancelled_runs_are_golden_too() -> None:
    @agent
    async def failing(text: str) -> str:
        raise LookupError(f"no {text}")

    @agent
    async def sleeper(text: str, run: Run) -> str:
        await run.sleep(hours(1))
        return text

    harness = Harness(failing, sleeper)
    failed, cancelled = harness.submit(failing, "x"), harness.submit(sleeper, "x")
    harness.settle()
    harness.cancel(cancelled, "not needed")
    harness.settle()
    for run_id, one in ((failed, failing), (cancelled, sleeper)):
        golden = GoldenRun.of(run_id, {run_id: harness.entries(run_id)})
        check_golden(golden, one)
        assert golden.outcome()["status"] in ("failed", "cancelled")


def test_code_between_the_steps_cannot_reach_the_outside(golden: GoldenRun) -> None:
    @agent
    async def asker(text: str) -> str:
        with socket.socket() as connection:
            connection.connect(("127.0.0.1", 9))
        return text

    assert "failed: OutsideError: socket.connect" in difference(golden, asker)


def test_runs_that_cannot_be_golden_are_refused() -> None:
    @agent
    async def sleeper(text: str, run: Run) -> str:
        await run.sleep(1)
        return await run.step(stamp)

    harness = Harness(sleeper)
    run_id = harness.submit(sleeper, "x")
    harness.settle()
    with pytest.raises(GoldenFileError, match=r"is waiting: `streams runs follow run-1`"):
        GoldenRun.of(run_id, {run_id: harness.entries(run_id)})
    harness.run()
    fork = harness.fork(run_id, "stamp", {"stamp": "another"})
    harness.run()
    with pytest.raises(GoldenFileError, match="is a fork and shares its past with run run-1"):
        GoldenRun.of(fork, {fork: harness.entries(fork)})
    with pytest.raises(GoldenFileError, match="has no journal"):
        GoldenRun.of("gone", {})


def test_an_agent_that_is_gone_is_named(golden: GoldenRun) -> None:
    with pytest.raises(
        GoldenFileError, match=r"agent 'asker' of run run-0 is not known: .*STREAMS_APPS.*known: summer"
    ):
        replay_golden(golden, {"summer": summer})
