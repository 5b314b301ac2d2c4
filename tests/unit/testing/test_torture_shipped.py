"""The agents that ship stand torture: nothing is invented for code that is right."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import HttpUrl

from streams.agents.adaptation import Change, adaptation
from streams.agents.canvas import canvas
from streams.agents.digest import News, digest
from streams.agents.investigate import investigate
from streams.agents.pipeline import pipeline
from streams.agents.planner import Goal, planner
from streams.agents.reply import Question, reply
from streams.agents.research import research
from streams.agents.reviewer import Draft, reviewer
from streams.agents.scraper import PagesWanted, scraper
from streams.agents.tool import NamedCall, tool
from streams.agents.triage import Issue, triage
from streams.define.agents import Agent
from streams.define.policies import Reject
from streams.model.chat import ChatRequest
from streams.model.scripted_model import ScriptedModel
from streams.testing import torture
from streams.tools.documents import Passage
from streams.tools.scrape import Page

URLS = ["https://example.org/a", "https://example.org/gone"]
GOAL = Goal.model_validate({"question": "How fast is a falcon?", "urls": URLS})
ANSWERS: dict[str, Any] = {
    "Plan": {"steps": ["How fast?"], "queries": ["falcon speed"]},
    "Review": {"approved": True, "risky": False, "problems": []},
    "Reflection": {"confidence": "high", "open_questions": []},
    "Digest": {"summary": "It is fast.", "important": True},
    "Verdict": {"area": "bug", "priority": "high", "summary": "It fails."},
    "Adaptation": {"change": "Fly faster."},
}
INPUTS: list[tuple[Agent[Any, Any], Any]] = [
    (adaptation, Change(about="wind", before=1, after=2)),
    (canvas, {"group": [{"agent": "planner", "input": GOAL.model_dump(mode="json")}] * 2}),
    (digest, News(source="feed", reference=URLS[0])),
    (investigate, GOAL),
    (pipeline, GOAL),
    (planner, GOAL),
    (reply, Question(text="How fast is a falcon?")),
    (research, GOAL),
    (reviewer, Draft(text="It flies.", sources=["Birds fly."])),
    (scraper, PagesWanted.model_validate({"urls": URLS})),
    (tool, NamedCall(name="search_documents", arguments={"query": "falcon"})),
    (triage, Issue(repository="a/b", number=1, title="It fails", body=f"See {URLS[0]} and {URLS[1]}")),
]


def answer(request: ChatRequest) -> Any:
    return "They dive fast." if request.returns is None else ANSWERS[request.returns.name]


def page(url: HttpUrl) -> Page:
    if str(url).endswith("gone"):
        raise Reject("404")
    return Page(url=str(url), title="Guide", text="Falcons dive fast.", length=18)


def passages(query: str, limit: int = 5) -> list[Passage]:
    return [Passage(path="birds.md", title="Birds", text=f"300 km/h: {query}", score=1.0)]


@pytest.mark.parametrize(("shipped", "given"), INPUTS, ids=[one.name for one, _ in INPUTS])
def test_a_shipped_agent_stands_it(shipped: Agent[Any, Any], given: Any) -> None:
    report = torture(
        shipped,
        given,
        tools={"scrape_url": page, "search_documents": passages},
        model=ScriptedModel(always=answer),
        agents=[planner],
        kills=60,
        seconds=600,
    )
    print(f"{shipped.name}: {report.commits} commits, {report.kills} kills, {report.seconds:.2f} s")
    assert (report.status, report.findings, report.notes) == ("succeeded", (), ())
