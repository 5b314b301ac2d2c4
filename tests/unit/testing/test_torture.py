"""Torture finds what a crash breaks, with the line, and invents nothing for agents that are right."""

from __future__ import annotations

import functools
import json
import logging
import random
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from streams import Retry, RetryPolicy, Run, StepFailed, agent, tool
from streams.define.agents import Agent
from streams.testing import GoldenRun, Harness, TortureError, torture
from streams.testing.torture_runs import Bounds, torture_golden
from tests.unit.testing import wrong_agents

MARKED = {
    line.rpartition("# wrong: ")[2]: number
    for number, line in enumerate(Path(wrong_agents.__file__).read_text("utf-8").splitlines(), 1)
    if "# wrong: " in line
}
log = logging.getLogger(__name__)


@tool
def look_up(order: int) -> str:
    raise RuntimeError("the outside is not to be asked")


def charge(order: int, key: str = "") -> str:
    return f"charged {order}"


@pytest.mark.parametrize("name", wrong_agents.WRONG)
def test_each_wrong_agent_is_found_at_its_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong: Agent[Any, Any] = vars(wrong_agents)[name]
    with pytest.raises(TortureError) as raised:
        torture(wrong, 7)
    report = raised.value.report
    places = [(one.kind, one.place) for one in report.findings]
    assert places == [(wrong_agents.WRONG[name], f"{wrong_agents.__file__}:{MARKED[name]}")], str(raised.value)
    assert report.findings[0].use
    assert report.kills == report.kills_possible > 0
    assert list(tmp_path.iterdir()) == []


# agents that are right


@functools.cache
def rules() -> dict[str, str]:
    return {"eu": "euro"}


CACHE: dict[int, str] = {}


@agent
async def careful(order: int, run: Run) -> list[str]:
    """Do much of what looks dangerous and is not."""
    began = time.monotonic()
    if order not in CACHE:
        CACHE[order] = "seen"
    chosen = sorted({"eu", "us", "asia"})
    ids = [f"{run.id}/{region}" for region in chosen]
    lucky = run.random() < 0.5
    generator = random.Random(order)
    first = await run.step(charge, order, f"{run.now():%Y} {lucky} {generator.random()} {rules()['eu']}")
    await run.sleep(3600)
    done: list[str] = []

    async def one(region: str) -> str:
        answer = await run.tool(look_up, order=order)
        done.append(region)
        await run.step(charge, len(done), ",".join(done))
        return f"{region} {answer}"

    results = await run.gather(*[one(region) for region in chosen])
    log.info("took %s", time.monotonic() - began)
    await run.progress(f"{len(ids)} of {len({*ids})}", 50)
    drawn = await run.step(lambda: str(uuid.uuid4()))
    return [first, *results, await run.step(charge, order, drawn)]


@agent
async def waits(order: int, run: Run) -> str:
    answer = await run.wait_for("paid", timeout=3600)
    async with run.stage("SHIPPING", timeout=60):
        return await run.step(charge, order, str(answer))


@agent
async def patient(order: int, run: Run) -> Any:
    return await run.wait_for("paid")


@agent
async def parent(order: int, run: Run) -> list[Any]:
    return await run.gather(run.call(child, order), run.call(child, order + 1), run.step(charge, order))


@agent
async def child(order: int, run: Run) -> str:
    return await run.step(charge, order)


FAILURES: list[int] = []


def flaky(order: int) -> str:
    FAILURES.append(order)
    if len(FAILURES) < 3:
        raise Retry("busy", after=5)
    return "at last"


@agent
async def tries(order: int, run: Run) -> str:
    try:
        return await run.step(flaky, order, retry=RetryPolicy(attempts=5))
    except StepFailed as error:
        await run.step(charge, -order)
        return str(error)


@agent
async def endless(order: int, run: Run) -> str:
    while True:
        await run.step(charge, order)
        await run.sleep(60)


def test_nothing_is_invented_for_a_careful_agent() -> None:
    report = torture(careful, 7, tools={"look_up": "in transit"}, seconds=600)
    assert (report.status, report.notes) == ("succeeded", ())
    assert (report.kills, report.reorderings) == (report.kills_possible, 5)


def test_signals_stages_children_and_retries_stand_it() -> None:
    assert torture(waits, 7, signals=[(60, "paid", {"by": "card"})]).status == "succeeded"
    assert torture(parent, 7, seconds=600).status == "succeeded"
    FAILURES.clear()
    assert torture(tries, 7).status == "succeeded"
    assert FAILURES == [7, 7, 7]  # steps are executed in the first execution only


def test_a_run_that_never_ends_is_judged_as_far_as_it_was_taken() -> None:
    report = torture(endless, 7, kills=10, seconds=600)
    assert report.kills == 10
    assert "it goes on after 500 commits: judged as far as that" in report.notes


def test_a_run_that_gets_no_signal_is_judged_as_far_as_it_goes() -> None:
    assert torture(waits, 7).status == "failed"  # its wait timed out
    report = torture(patient, 7)
    assert (report.status, report.kills) == ("waiting", report.kills_possible)
    assert report.notes == ("the run is waiting in the end: it may wait for signals that it does not get here",)


@agent
async def busy(order: int, run: Run) -> str:
    receipt = await run.step(charge, order)
    while order:
        pass
    return receipt


def test_a_loop_that_comes_to_no_operation_is_left() -> None:
    report = torture(busy, 7, seconds=0.5)
    line = busy.fn.__code__.co_firstlineno + 3
    assert f"a loop that comes to no operation was left: {__file__}:{line}" in report.notes


def test_time_is_a_bound() -> None:
    report = torture(careful, 7, tools={"look_up": "in transit"}, seconds=0.000001)
    assert report.kills == 0
    assert "stopped after 1e-06 s: give more time for the rest" in report.notes


def test_the_code_is_as_it_was_afterwards() -> None:
    before = careful.fn.__code__
    torture(careful, 7, tools={"look_up": "in transit"}, kills=1)
    assert careful.fn.__code__ is before
    assert not [name for name in dir(__import__("builtins")) if "torture" in name]


def recorded(wanted: Agent[Any, Any], **options: Any) -> tuple[GoldenRun, dict[str, Agent[Any, Any]]]:
    harness = Harness(wanted, **options)
    run_id = harness.submit(wanted, 7, run_id="run-7")
    harness.advance(60)
    harness.signal(run_id, "paid", {"by": "card"})
    harness.run()
    return GoldenRun.of(run_id, {run: harness.entries(run) for run in harness.run_ids}), harness.agents


@pytest.mark.parametrize("right", [careful, waits, parent, tries])
def test_a_recorded_run_is_not_executed(right: Agent[Any, Any], tmp_path: Path) -> None:
    FAILURES.clear()
    golden, agents = recorded(right, tools={"look_up": "in transit"})
    executed = len(FAILURES)
    golden.write(tmp_path / golden.file_name)
    report = torture_golden(GoldenRun.read(tmp_path / golden.file_name), agents, Bounds(kills=40, seconds=600))
    assert (report.status, report.findings) == ("succeeded", ())
    assert len(FAILURES) == executed
    assert json.loads(json.dumps(report.to_json()))["passed"]


def test_a_wrong_agent_is_found_in_its_record() -> None:
    golden, agents = recorded(wrong_agents.retry)
    [finding] = torture_golden(golden, agents).findings
    assert finding.place.endswith(f":{MARKED['retry']}")


def test_code_that_differs_from_the_record_is_one_finding() -> None:
    golden, agents = recorded(wrong_agents.clock)
    [finding] = torture_golden(golden, agents).findings
    assert finding.kind == "differs-from-record"
    assert "expected  step charge" in finding.effect
