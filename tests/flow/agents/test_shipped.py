"""The agents that ship, each from its input to its result, in memory with a scripted model and real pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.bus import DataProcessed
from streams.agents.investigate import investigate
from streams.agents.pipeline import pipeline
from streams.agents.planner import Goal, planner
from streams.agents.research import research
from streams.agents.reviewer import Draft, reviewer
from streams.agents.scraper import PagesWanted, scraper
from streams.agents.tool import BY_NAME, NamedCall, tool, tools_here
from streams.model.chat import ChatRequest
from streams.model.errors import ModelRefusedError
from streams.model.scripted_model import ScriptedModel
from streams.tools.documents import FOLDER, index_of
from tests.flow.agents._drive import drive
from tests.unit.tools._site import html, network, site

PAGE = html("<html><head><title>Guide</title></head><body><article><p>Falcons dive fast.</p></article></body></html>")
ANSWERS: dict[str, Any] = {
    "Plan": {"steps": ["How fast?"], "queries": ["falcon speed"]},
    "Review": {"approved": True, "risky": False, "problems": []},
    "Reflection": {"confidence": "high", "open_questions": []},
}


def thinking() -> ScriptedModel:
    """Answer by the type that is asked for, text with what every agent shall pass on."""

    def answer(request: ChatRequest) -> Any:
        return "They dive fast." if request.returns is None else ANSWERS[request.returns.name]

    return ScriptedModel(always=answer)


@pytest.fixture(autouse=True)
def _documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "birds.md").write_text("# Birds\n\nA falcon reaches a speed of 300 km/h.")
    monkeypatch.setenv("STREAMS_STATE_DIR", str(tmp_path))
    with network():
        yield
    index_of(folder).close()


def goal(*urls: str) -> Goal:
    return Goal.model_validate({"question": "How fast is a falcon?", "urls": urls})


async def test_the_planner_plans() -> None:
    assert (await drive(planner, goal(), thinking())).result == ANSWERS["Plan"]


async def test_the_reviewer_sees_the_sources_before_the_draft() -> None:
    model = thinking()
    ended = await drive(reviewer, Draft(text="It flies.", sources=["Birds fly."]), model)
    assert ended.result == ANSWERS["Review"]
    said = model.requests[0].messages[1].content
    assert said.index("Birds fly.") < said.index("It flies.")


async def test_the_scraper_keeps_failures_beside_pages() -> None:
    async with site({"/a": PAGE}) as (origin, _):
        with network(origin.removeprefix("http://")):
            wanted = PagesWanted.model_validate({"urls": [f"{origin}/gone", f"{origin}/a"]})
            ended = await drive(scraper, wanted, thinking())
    assert [page["title"] for page in ended.result["pages"]] == ["Guide"]
    assert "404" in ended.result["errors"][f"{origin}/gone"]


async def test_the_tool_agent_runs_a_listed_tool_and_no_other() -> None:
    found = await drive(tool, NamedCall(name="search_documents", arguments={"query": "falcon"}), thinking())
    assert found.result["name"] == "search_documents"
    assert found.result["result"][0]["path"] == "birds.md"
    unknown = await drive(tool, NamedCall(name="os.system", arguments={"command": "true"}), thinking())
    assert (unknown.status, unknown.performed) == ("failed", [])
    assert "scrape_url" in str(unknown.error)


async def test_research_writes_from_pages_and_documents() -> None:
    model = thinking()
    async with site({"/a": PAGE}) as (origin, _):
        with network(origin.removeprefix("http://")):
            ended = await drive(research, goal(f"{origin}/a", f"{origin}/gone"), model)
    assert ended.result["answer"] == "They dive fast."
    assert [source["name"] for source in ended.result["sources"]] == [f"{origin}/a", "birds.md"]
    assert ended.result["unread"] == [f"{origin}/gone"]
    assert "300 km/h" in model.requests[-1].messages[1].content


async def test_an_investigation_goes_through_its_stages() -> None:
    ended = await drive(investigate, goal(), thinking())
    assert ended.stages == [
        "INITIALIZED", "REASONING", "SEARCHING", "ANALYZING", "ACTING", "REFLECTING", "COMPLETED"
    ]  # fmt: skip
    assert (ended.result["confidence"], ended.result["finding"]) == ("high", "They dive fast.")
    assert isinstance(ended.events[0], DataProcessed)
    assert ended.progress == sorted(ended.progress)


async def test_an_investigation_that_fails_says_so_in_its_stage() -> None:
    ended = await drive(investigate, goal(), ScriptedModel(ModelRefusedError("no")))
    assert (ended.status, ended.stages) == ("failed", ["INITIALIZED", "REASONING", "FAILED"])


async def test_the_pipeline_puts_the_agents_together() -> None:
    async with site({"/a": PAGE}) as (origin, _):
        with network(origin.removeprefix("http://")):
            ended = await drive(pipeline, goal(f"{origin}/a"), thinking())
    assert (ended.status, ended.error) == ("succeeded", None)
    assert ended.result["plan"] == ANSWERS["Plan"]
    assert ended.result["report"]["answer"] == "They dive fast."
    assert ended.result["pages"]["pages"][0]["title"] == "Guide"
    assert ended.result["review"]["approved"] is True
    assert ended.stages == ["PLAN", "RESEARCH", "REVIEW"]


async def test_the_pipeline_works_without_pages() -> None:
    ended = await drive(pipeline, goal(), thinking())
    assert (ended.status, ended.result["pages"]) == ("succeeded", {"pages": [], "errors": {}})


async def test_the_tool_agent_runs_tools_of_the_user_s_own_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_APPS", "tests.apps.canary")
    tools_here.cache_clear()
    known = set(tools_here())
    tools_here.cache_clear()
    assert {"scrape_url", "search_documents"} < known
    assert known - set(BY_NAME), "those of the package as well"
