"""The pytest plugin collects golden runs, shows what differs, and writes down what needs no new answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams import Run, agent, tool
from streams.testing import GoldenRun, Harness
from tests.house.files import ROOT

pytest_plugins = ["pytester"]

AGENT = """
from streams import Run, agent, tool

@tool
def look_up(order: int) -> str:
    raise RuntimeError("a golden run must not reach the outside")

@agent
async def answer(order: int, run: Run) -> str:
    status = await run.tool(look_up, order=order)
    return await run.llm("Tell the customer.", status)
"""
HOOK = """
import socket
def pytest_runtest_setup(item):
    def refuse(*a, **k):
        raise AssertionError("a socket was opened")
    socket.socket.connect = refuse
"""


@tool
def look_up(order: int) -> str:
    return f"order {order} is in transit"


@agent
async def answer(order: int, run: Run) -> str:
    status = await run.tool(look_up, order=order)
    return await run.llm("Tell the customer.", status)


def record(run_id: str = "run-7") -> GoldenRun:
    harness = Harness(answer, model=["It arrives tomorrow."])
    harness.submit(answer, 7, run_id=run_id)
    harness.run()
    return GoldenRun.of(run_id, {run_id: harness.entries(run_id)})


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Give a project with an agent and its golden run."""
    monkeypatch.setenv("STREAMS_APPS", "shop")
    pytester.makepyfile(shop=AGENT, conftest=HOOK)
    record().write(pytester.path / "tests" / "golden" / "answer.golden.json")
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:randomly", *arguments)


def edit(project: pytest.Pytester, before: str, after: str) -> None:
    path = project.path / "shop.py"
    assert before in AGENT
    path.write_text(AGENT.replace(before, after))


def test_a_golden_run_passes_without_the_outside(project: pytest.Pytester) -> None:
    result = run(project, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*answer.golden.json::answer PASSED*"])


def test_a_difference_is_shown_without_a_traceback(project: pytest.Pytester) -> None:
    edit(project, "order=order", "order=order + 1")
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "run run-7 of agent answer differs from its golden run from step 1 on",
            "*expected  tool look_up(order=7)",
            "*actual    tool look_up(order=8)",
            "*not recorded: tool look_up has no recorded answer to these arguments",
            "*pytest --golden-update*",
        ]
    )
    result.stdout.no_fnmatch_line("*golden_replay.py*")


def test_update_writes_what_needs_no_answer(project: pytest.Pytester) -> None:
    edit(project, "return await", 'return "Dear customer: " + await')
    run(project).assert_outcomes(failed=1)
    updated = run(project, "--golden-update")
    updated.assert_outcomes(passed=1)
    updated.stdout.fnmatch_lines(["*1 golden run updated*", "tests/golden/answer.golden.json"])
    run(project).assert_outcomes(passed=1)
    document = json.loads((project.path / "tests" / "golden" / "answer.golden.json").read_text())
    assert document["outcome"]["result"] == "Dear customer: It arrives tomorrow."


def test_update_says_what_it_cannot_write(project: pytest.Pytester) -> None:
    path = project.path / "tests" / "golden" / "answer.golden.json"
    before = path.read_bytes()
    edit(project, "Tell the customer.", "Tell the customer politely.")
    result = run(project, "--golden-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cannot re-record: llm text * has no recorded answer;*`streams golden add`*"])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "*tests/golden/broken.golden.json*cannot be read*golden add*"),
        ('{"golden": 2}', "*broken.golden.json has format 2 *upgrade Streams*"),
        ('{"golden": 1}', "*broken.golden.json is damaged (agent: Field required)*"),
        ("[]", "*broken.golden.json is damaged*"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(project: pytest.Pytester, text: str, message: str) -> None:
    (project.path / "tests" / "golden" / "broken.golden.json").write_text(text)
    result = run(project)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([message.replace("tests/golden/", "")])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_agent_that_is_gone_is_named(project: pytest.Pytester) -> None:
    edit(project, "async def answer(", "async def reply(")
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["agent 'answer' of run run-7 is not known: *STREAMS_APPS*known: reply*"])


def test_a_module_that_cannot_be_imported_is_named(project: pytest.Pytester) -> None:
    edit(project, "from streams", "from nowhere")
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["module shop cannot be imported*"])


def test_the_plugin_loads_nothing_heavy(tmp_path: Path) -> None:
    """Every start of pytest in an environment with Streams imports it."""
    code = "import sys, pytest; import streams.testing.golden; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert loaded.isdisjoint(
        {"pydantic", "orjson", "aiohttp", "openai", "confluent_kafka", "faust", "schemas", "topics"}
    )
    inside = {name for name in result.stdout.split() if name.startswith("streams")}
    assert inside == {"streams", "streams.own_packages", "streams.testing", "streams.testing.golden"}
