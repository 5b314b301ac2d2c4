"""What decorators make of functions, and what they say about functions that cannot be it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from schemas import Event
from streams import (
    Delivery,
    RetryPolicy,
    Run,
    StartRun,
    agent,
    batch,
    chain,
    group,
    hmac_sha256,
    on,
    schedule,
    source,
    standard_webhooks,
    table,
    tool,
)
from streams.define import Rate
from streams.errors import DefinitionError


class Opened(Event, type="test.opened", key="ticket"):
    ticket: str


class Task(BaseModel):
    topic: str


def test_an_agent_knows_its_types_and_is_only_a_value() -> None:
    @agent(rate="60/m", after=120, auto_resume=3)
    async def research(task: Task, run: Run) -> list[Task]:
        """Look into it."""
        return [task]

    assert (research.name, research.doc) == ("research", "Look into it.")
    assert research.input_type is Task
    assert research.output_type == list[Task]
    assert research.rate == Rate(60, 60.0)
    assert (research.auto_resume, research.auto_resume_after) == (3, 120)
    assert StartRun(research, Task(topic="x")).agent is research


def test_an_agent_may_leave_out_its_input_or_its_run() -> None:
    @agent
    async def lonely(run: Run) -> None: ...

    @agent
    async def plain(task: Task) -> str:
        return task.topic

    assert not lonely.takes_input
    assert not plain.takes_run


def test_agents_that_cannot_be_are_refused_with_what_to_do() -> None:
    with pytest.raises(DefinitionError, match="async def"):

        @agent  # type: ignore[arg-type]
        def sync(task: Task) -> None: ...

    with pytest.raises(DefinitionError, match="annotate the input"):

        @agent
        async def bare(task, run: Run) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    with pytest.raises(DefinitionError, match="annotate the result"):

        @agent
        async def endless(task: Task): ...  # type: ignore[no-untyped-def]  # noqa: ANN202

    with pytest.raises(DefinitionError, match="one input"):

        @agent
        async def many(a: Task, b: Task, run: Run) -> None: ...

    with pytest.raises(DefinitionError, match="COUNT/UNIT"):
        agent(rate="often")(plain_function)


async def plain_function(task: Task, run: Run) -> None: ...


def test_a_tools_arguments_are_its_signature() -> None:
    @tool(rate="30/60s", cache=60)
    def search(query: str, limit: int = 5) -> list[str]:
        return [query] * limit

    assert search.args_model.model_validate({"query": "x"}).model_dump() == {"query": "x", "limit": 5}
    with pytest.raises(ValueError, match="extra"):
        search.args_model.model_validate({"query": "x", "other": 1})
    assert search("a", 2) == ["a", "a"]


def test_tools_reactions_sources_tables_and_schedules_explain_themselves() -> None:
    with pytest.raises(DefinitionError, match="names its arguments"):

        @tool
        def loose(*args: int) -> int:
            return sum(args)

    with pytest.raises(DefinitionError, match="no event"):
        on(Task)(print)
    with pytest.raises(DefinitionError, match="no field"):
        on(Opened, by="nobody")(print)
    with pytest.raises(DefinitionError, match="either cron"):
        schedule()(lambda: None)
    with pytest.raises(DefinitionError, match="time zone"):
        schedule(cron="0 2 * * *", tz="Moon/Base")(lambda: None)
    with pytest.raises(DefinitionError, match="event types"):
        table(of=[], row=Task)(lambda row, event: row)
    with pytest.raises(DefinitionError, match="size"):
        batch([1], 0, plain_function)
    with pytest.raises(DefinitionError, match="at least one member"):
        chain()
    assert group().members == ()
    with pytest.raises(DefinitionError, match="attempts"):
        RetryPolicy(attempts=0)


def test_a_source_verifies_with_any_live_secret() -> None:
    @source(verify=hmac_sha256("X-Signature", prefix="sha256="), once_per="x-delivery")
    def helpdesk(delivery: Delivery) -> None: ...

    # the vector that GitHub publishes for its signatures
    headers = {"x-signature": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
    body, secret = b"Hello, World!", "It's a Secret to Everybody"
    assert helpdesk.verified(headers, body, [secret], 0)
    assert helpdesk.verified(headers, body, ["new", secret], 0)
    assert not helpdesk.verified(headers, body + b" ", [secret], 0)
    assert not helpdesk.verified(headers, body, [], 0)
    assert not helpdesk.verified({}, body, [secret], 0)


def test_standard_webhooks_checks_time_and_signature() -> None:
    verify = standard_webhooks()
    # the vector of the Standard Webhooks reference libraries
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    assert verify.check(headers, body, [secret], 1614265330)
    assert not verify.check(headers, body, [secret], 1614265330 + 301)
    assert not verify.check(headers, body, ["whsec_AAAA"], 1614265330)


@pytest.mark.parametrize(
    "wrong", [{"batch": 5}, {"within": 5}, {"batch": 0, "within": 5}, {"batch": 2, "within": 5, "debounce": 1}]
)
def test_a_reaction_that_collects_says_how_many_and_how_long(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="batch=50"):
        on(Opened, **wrong)(lambda events: None)
