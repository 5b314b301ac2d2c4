"""Answers a question from a chat out of the local documents."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas.bus import DataProcessed
from streams import Run, agent, minutes
from streams.agents.research import WRITE, Source, sources_of
from streams.tools.documents import search_documents


class Question(BaseModel):
    """What somebody asked; `thread` is where an answer belongs."""

    text: str = Field(min_length=1, max_length=4_000)
    channel: str = ""
    user: str = ""
    thread: str = ""


class Reply(BaseModel):
    """The answer, what it rests on, and where it belongs."""

    text: str
    sources: list[Source]
    channel: str
    thread: str


@agent(concurrency=20, deadline=minutes(10), tools=[search_documents])
async def reply(question: Question, run: Run) -> Reply:
    """Look the question up in the local documents and answer it."""
    passages = await run.tool(search_documents, query=question.text, limit=4)
    sources = sources_of([], passages)
    await run.progress(f"found {len(sources)} passages", 40)
    context = [f"Source {source.name}:\n{source.text}" for source in sources]
    text = await run.llm(WRITE, *context, f"Question: {question.text}", temperature=0, max_tokens=300)
    await run.emit(DataProcessed(source=question.channel or run.id, run_id=run.id, summary=text[:200]))
    return Reply(text=text, sources=sources, channel=question.channel, thread=question.thread)
