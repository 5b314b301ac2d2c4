"""Answers a question from local documents and given pages: plan, search, read, write."""

from __future__ import annotations

from pydantic import BaseModel

from streams import Run, agent, hours
from streams.agents.planner import PLAN, PLAN_TOKENS, Goal, Plan
from streams.model.prompts import Prompt
from streams.tools.documents import Passage, search_documents
from streams.tools.scrape import Page, scrape_url

WRITE = Prompt.beside(__file__, "write")
SHOWN = 800  # characters of each source that the model sees
MAX_SOURCES = 8


class Source(BaseModel):
    """A text that an answer rests on; `name` is its URL or its path."""

    name: str
    text: str


class Report(BaseModel):
    """The answer with its sources; `unread` are pages that could not be read."""

    question: str
    answer: str
    sources: list[Source]
    unread: list[str]


@agent(concurrency=50, rate="60/m", deadline=hours(1), tools=[scrape_url, search_documents])
async def research(goal: Goal, run: Run) -> Report:
    """Plan, search and read in parallel, then write a report."""
    plan = await run.llm(PLAN, goal, returns=Plan, temperature=0, max_tokens=PLAN_TOKENS)
    await run.progress("plan ready", 20)
    urls = [str(url) for url in goal.urls]
    queries = list(dict.fromkeys([goal.question, *plan.queries]))
    found = await run.gather(
        *[run.tool(scrape_url, url=url) for url in urls],
        *[run.tool(search_documents, query=query, limit=3) for query in queries],
        return_exceptions=True,
    )
    pages, hits = found[: len(urls)], found[len(urls) :]
    passages = [passage for hit in hits if isinstance(hit, list) for passage in hit]
    sources = sources_of([page for page in pages if isinstance(page, Page)], passages)
    await run.progress(f"read {len(sources)} sources", 60)
    context = [f"Source {source.name}:\n{source.text}" for source in sources]
    answer = await run.llm(WRITE, *context, f"Question: {goal.question}", temperature=0, max_tokens=500)
    unread = [url for url, page in zip(urls, pages, strict=True) if not isinstance(page, Page)]
    return Report(question=goal.question, answer=answer, sources=sources, unread=unread)


def sources_of(pages: list[Page], passages: list[Passage]) -> list[Source]:
    """Return pages, then the best passages, each text once, at most eight."""
    best = sorted(passages, key=lambda passage: (-passage.score, passage.path))
    texts = [(page.url, page.text[:SHOWN]) for page in pages] + [(hit.path, hit.text[:SHOWN]) for hit in best]
    unique = dict.fromkeys(texts)
    return [Source(name=name, text=text) for name, text in unique][:MAX_SOURCES]
