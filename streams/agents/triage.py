"""Decides what a new issue needs: reads what it links to, asks the model for a verdict, and publishes it."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, Field

from schemas.bus import DataProcessed
from schemas.tickets import IssueTriaged
from streams import Run, StepFailed, agent, minutes
from streams.model.prompts import Prompt
from streams.tools.scrape import Page, is_url, scrape_url

TRIAGE = Prompt.beside(__file__, "triage")
LINK = re.compile(r"""https?://[^\s<>"'`)\]]+""")
MAX_PAGES = 5
SHOWN = 500  # characters of each text that the model sees: enough for a verdict, and small models lose the thread


class Issue(BaseModel):
    """An issue as it was reported; links are taken from `urls` and from the body."""

    repository: str
    number: int
    title: str
    body: str = ""
    urls: list[str] = Field(default_factory=list)

    def links(self) -> list[str]:
        """Return the pages to read, each once, at most five; what is no URL is left out."""
        found = [*self.urls, *(link.rstrip(".,;:!?") for link in LINK.findall(self.body))]
        return [link for link in dict.fromkeys(found) if is_url(link)][:MAX_PAGES]


class Verdict(BaseModel):
    """What the model decides: small enough for the smallest models."""

    area: Literal["bug", "performance", "security", "documentation", "feature", "question"]
    priority: Literal["low", "normal", "high", "urgent"]
    summary: str = Field(max_length=120)


class Triage(Verdict):
    """The verdict with what it rests on; `unread` are links that could not be read."""

    repository: str
    number: int
    pages: list[str]
    unread: list[str]


@agent(concurrency=50, deadline=minutes(30), tools=[scrape_url])
async def triage(issue: Issue, run: Run) -> Triage:
    """Read the pages an issue links to, decide priority and area, and publish both."""
    links = issue.links()
    await run.progress(f"reading {len(links)} pages", 10)
    found = await run.gather(*[run.tool(scrape_url, url=link) for link in links], return_exceptions=True)
    pages = [page for page in found if isinstance(page, Page)]
    unread = [link for link, page in zip(links, found, strict=True) if isinstance(page, StepFailed)]
    await run.progress(f"read {len(pages)} of {len(links)} pages", 50)
    context = [f"Linked page: {page.title or page.url}\n{page.text[:SHOWN]}" for page in pages]
    context.append(f"Issue: {issue.title}. {issue.body[:SHOWN]}")
    verdict = await run.llm(TRIAGE, *context, returns=Verdict, temperature=0)
    await run.progress("decided", 90)
    result = Triage(
        **verdict.model_dump(),
        repository=issue.repository,
        number=issue.number,
        pages=[page.url for page in pages],
        unread=unread,
    )
    data = result.model_dump()
    await run.emit(DataProcessed(source=issue.repository, run_id=run.id, summary=verdict.summary, data=data))
    about: dict[str, Any] = {"repository": issue.repository, "number": issue.number, "run_id": run.id}
    await run.emit(IssueTriaged(**about, **verdict.model_dump()))
    return result
