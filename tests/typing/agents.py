"""What the type checker sees in an agent: results of calls, tools, steps and models keep their types."""

from __future__ import annotations

from typing import Any, assert_type

from pydantic import BaseModel

from schemas import Event
from streams import Run, StartRun, agent, chain, chord, group, minutes, tool


class Question(BaseModel):
    text: str


class Answer(BaseModel):
    text: str


class Agreed(Event, type="typing.agreed", key="who"):
    who: str


@tool(timeout=30)
async def look_up(word: str) -> Answer:
    return Answer(text=word)


@tool
def count(word: str) -> int:
    return len(word)


def measure(text: str) -> int:
    return len(text)


@agent(concurrency=5, rate="60/m", tools=[look_up, count])
async def answer(question: Question, run: Run) -> Answer:
    assert_type(await run.tool(look_up, word="a"), Answer)
    assert_type(await run.tool(count, word="a"), int)
    assert_type(await run.step(measure, question.text, timeout=5), int)
    assert_type(await run.llm("Answer", question, returns=Answer), Answer)
    assert_type(await run.llm("Answer", question), str)
    assert_type(await run.gather(run.tool(count, word="a"), run.tool(count, word="b")), list[int])
    assert_type(await run.wait_for(Agreed, lambda agreed: agreed.who == "me", timeout=60), Agreed)
    assert_type(await run.wait_for("anything"), Any)
    assert_type(run.random(), float)
    assert_type(run.patched("new"), bool)
    return Answer(text=question.text)


@agent
async def asks(question: Question, run: Run) -> str:
    assert_type(await run.call(answer, question, timeout=minutes(1)), Answer)
    assert_type(await run.call(answer.bind(question)), Answer)
    assert_type(await run.call(chain(answer.bind(question), answer)), Any)
    assert_type(await run.start(answer, question), str)
    async with run.stage("LATER"):
        await run.call(chord(group(answer.bind(question)), answer))
    return run.id


def starts() -> StartRun:
    return StartRun(answer, Question(text="?"), priority="high")
