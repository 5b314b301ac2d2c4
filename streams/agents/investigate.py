"""Looks into something in seven named stages, each with its own time, so that anyone can see how far it is."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from schemas.bus import DataProcessed
from streams import Run, agent, hours, minutes
from streams.agents.planner import PLAN, PLAN_TOKENS, Goal, Line, Plan
from streams.agents.research import WRITE, Source, sources_of
from streams.model.prompts import Prompt
from streams.tools.documents import search_documents
from streams.tools.scrape import Page, scrape_url

REFLECT = Prompt.beside(__file__, "reflect")


class Reflection(BaseModel):
    """How far the finding can be trusted, and what is still open."""

    confidence: Literal["low", "medium", "high"]
    open_questions: list[Line] = Field(max_length=5)


class Finding(Reflection):
    """What was found, and what it rests on."""

    question: str
    finding: str
    sources: list[Source]


@agent(concurrency=20, deadline=hours(1), tools=[scrape_url, search_documents])
async def investigate(goal: Goal, run: Run) -> Finding:
    """Investigate a question: reason, search, analyze, act, reflect."""
    try:
        return await _investigated(goal, run)
    except Exception:
        async with run.stage("FAILED"):
            await run.progress("failed")
        raise


async def _investigated(goal: Goal, run: Run) -> Finding:
    async with run.stage("INITIALIZED", timeout=minutes(1)):
        await run.progress("started", 5)
    async with run.stage("REASONING", timeout=minutes(5)):
        plan = await run.llm(PLAN, goal, returns=Plan, temperature=0, max_tokens=PLAN_TOKENS)
        await run.progress(f"{len(plan.steps)} steps planned", 20)
    async with run.stage("SEARCHING", timeout=minutes(10)):
        queries = [goal.question, *plan.queries]
        hits = await run.gather(*[run.tool(search_documents, query=query, limit=3) for query in queries])
        reads = [run.tool(scrape_url, url=str(url)) for url in goal.urls]
        pages = await run.gather(*reads, return_exceptions=True)
        found = [page for page in pages if isinstance(page, Page)]
        sources = sources_of(found, [passage for passages in hits for passage in passages])
        await run.progress(f"{len(sources)} sources found", 50)
    async with run.stage("ANALYZING", timeout=minutes(10)):
        context = [f"Source {source.name}:\n{source.text}" for source in sources]
        finding = await run.llm(WRITE, *context, f"Question: {goal.question}", temperature=0, max_tokens=500)
        await run.progress("analyzed", 70)
    async with run.stage("ACTING", timeout=minutes(5)):
        await run.emit(DataProcessed(source=run.id, run_id=run.id, summary=finding[:200]))
        await run.progress("published", 80)
    async with run.stage("REFLECTING", timeout=minutes(5)):
        reflection = await run.llm(REFLECT, *context, f"Finding: {finding}", returns=Reflection, temperature=0)
        await run.progress(f"confidence {reflection.confidence}", 95)
    async with run.stage("COMPLETED", timeout=minutes(1)):
        return Finding(question=goal.question, finding=finding, sources=sources, **reflection.model_dump())
