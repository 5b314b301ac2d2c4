"""The console is served whole, from here alone, and turns nothing that it is told into markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import streams
from streams.contract.agents import AgentInfo
from streams.contract.breakers import BreakerInfo
from streams.contract.budgets import BudgetInfo
from streams.contract.dead_letters import DeadLetterDetail, DeadLetterGroup
from streams.contract.runs import HistoryEntry, RunState
from streams.contract.schedules import ScheduleInfo
from streams.contract.tables import TableInfo, TableRow
from streams.contract.topics import TopicInfo, TopicRecord
from streams.contract.workers import WorkerInfo
from tests.unit.gateway._gateway import Settings, api_key, problem, world

FOLDER = Path(streams.__file__).parent / "console"


async def test_the_page_and_all_it_asks_for_are_served_under_a_strict_policy() -> None:
    async with world(Settings(api_keys=(api_key("k" * 20, "read"),))) as it:
        page = await it.client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        wanted = set(re.findall(r'(?:href|src)="(/console/[\w.]+)"', page.text))
        seen: set[str] = set()
        while wanted - seen:
            path = (wanted - seen).pop()
            found = await it.client.get(path)
            assert found.status_code == 200, path
            seen.add(path)
            wanted |= {f"/console/{name}" for name in re.findall(r'from "\./([\w.]+)"', found.text)}
        assert {path.rpartition("/")[2] for path in seen} | {"index.html"} == {file.name for file in FOLDER.iterdir()}
        again = await it.client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        problem(await it.client.get("/console/nothing.js"), 404, "not-found")
        problem(await it.client.get("/console/..%2Fsettings.py"), 404, "not-found")


def test_nothing_parses_html_or_comes_from_elsewhere() -> None:
    for file in FOLDER.iterdir():
        text = file.read_text("utf-8")
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text
        )
        assert not [
            url for url in re.findall(r"https?://[^\s\"']+", text) if not url.startswith("http://www.w3.org/2000/svg")
        ]
        assert not re.findall(r"\sstyle=\"|\son\w+=\"|document\.cookie|localStorage", text), file.name


READS: dict[tuple[str, str], tuple[tuple[type[BaseModel], ...], set[str]]] = {
    ("pages.js", "agent"): ((AgentInfo,), {"append", "stats", "value"}),
    ("pages.js", "worker"): ((WorkerInfo,), set()),
    ("pages.js", "topic"): ((TopicInfo,), set()),
    ("pages.js", "one"): ((TableInfo, TableRow, ScheduleInfo, TopicRecord), set()),
    ("limits.js", "one"): ((BreakerInfo, BudgetInfo), set()),
    ("letters.js", "letter"): ((DeadLetterDetail,), set()),
    ("letters.js", "kind"): ((DeadLetterGroup,), set()),
    ("runs.js", "run"): ((RunState,), set()),
    ("runs.js", "entry"): ((HistoryEntry,), set()),
}
"""What the variables of the console's files hold, and members of them that are the page's own."""


@pytest.mark.parametrize(("file", "variable"), READS)
def test_the_console_reads_only_members_that_the_contract_has(file: str, variable: str) -> None:
    models, own = READS[file, variable]
    text = (FOLDER / file).read_text("utf-8")
    read = set(re.findall(rf"(?<![\w.]){variable}\??\.(\w+)", text))
    assert read
    assert read - own - {field for model in models for field in model.model_fields} == set()
