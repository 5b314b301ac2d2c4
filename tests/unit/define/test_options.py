"""Options of decorators: explicit, checked where they are written, with file, line and what to write."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from schemas import Event
from streams import (
    Breaker,
    Delivery,
    Reject,
    RetryPolicy,
    Run,
    StartRun,
    agent,
    hmac_sha256,
    on,
    schedule,
    source,
    standard_webhooks,
    table,
    tool,
)
from streams.errors import DefinitionError

HERE = r"test_options\.py:\d+"


class Note(Event, type="test.note", key="k"):
    k: str


class Row(BaseModel):
    k: str


class Plain:
    """A class that pydantic knows nothing about."""


@agent
async def noted(row: Row) -> None: ...


async def work(task: Row, run: Run) -> None: ...
def look(word: str) -> str:
    return word


def react(event: Note) -> None: ...
def receive(delivery: Delivery) -> None: ...
def fold(row: Row | None, event: Event) -> Row | None:
    return row


def tick() -> None: ...


def verify(headers: Any, body: bytes) -> bool:
    return True


AGENT = [
    {"retry": 3},
    {"deadline": "5m"},
    {"deadline": math.inf},
    {"deadline": timedelta(minutes=5)},
    {"concurrency": 0},
    {"concurrency": True},
    {"rate": 60},
    {"rate": "often"},
    {"tools": [look]},
    {"tools": "look"},
    {"priority": "urgent"},
    {"auto_resume": -1},
    {"auto_resume": "3"},
    {"after": -1.0},
    {"version": "2"},
    {"pool": ""},
    {"pool": "with space"},
    {"budget": 5},
    {"concurrency_key": 1},
]
TOOL = [
    {"retry": 3},
    {"timeout": 0},
    {"timeout": "30s"},
    {"cache": "1h"},
    {"approval": "yes"},
    {"breaker": 5},
    {"rate": 1.5},
    {"version": 0},
]
ON = [
    {"retry": 3},
    {"debounce": "5s"},
    {"debounce": math.nan},
    {"batch": "2", "within": 1},
    {"batch": 2, "within": "1m"},
]
SCHEDULE = [
    {"cron": "0 * * * *", "catch_up": math.inf},
    {"cron": "0 * * * *", "catch_up": -1},
    {"cron": "0 * * * *", "overlap": "nope"},
    {"cron": "0 * * * *", "tz": None},
    {"cron": "0 * * * *", "jitter": "1m"},
    {"cron": "0 * * * *", "start": "2026-01-01"},
    {"cron": 5},
    {"every": "5m"},
    {"every": timedelta(minutes=5)},
    {"every": math.inf},
    {"every": True},
]
TABLE = [
    {"of": [Note], "row": Row(k="x")},
    {"of": Note, "row": Row},
    {"of": [Note], "row": Row, "version": "1"},
    {"of": [Note], "row": Row, "pool": 1},
    {"of": [Note], "row": Row, "merge": 1},
    {"of": [Note], "row": Row, "lookups": "k"},
]
SOURCE = [{"verify": "secret"}, {"verify": verify, "once_per": 5}, {"verify": verify, "once_per": ""}]
WRONG = [
    *((agent, work, options) for options in AGENT),
    *((tool, look, options) for options in TOOL),
    *((lambda **options: on(Note, **options), react, options) for options in ON),
    *((schedule, tick, options) for options in SCHEDULE),
    *((table, fold, options) for options in TABLE),
    *((source, receive, options) for options in SOURCE),
]


@pytest.mark.parametrize(("decorate", "fn", "options"), WRONG)
def test_an_option_that_is_not_possible_is_refused_with_file_and_line(decorate: Any, fn: Any, options: Any) -> None:
    with pytest.raises(DefinitionError, match=HERE):
        decorate(**options)(fn)


@pytest.mark.parametrize(
    ("decorate", "wrong", "meant"),
    [
        (agent, "concurency", "concurrency"),
        (tool, "time_out", "timeout"),
        (schedule, "catchup", "catch_up"),
        (source, "once", "once_per"),
        (table, "lookup", "lookups"),
        (on, "debounced", "debounce"),
    ],
)
def test_a_misspelt_option_is_named_with_the_one_that_was_meant(decorate: Any, wrong: str, meant: str) -> None:
    with pytest.raises(DefinitionError, match=rf"{HERE}: @{decorate.__name__} has no option '{wrong}'.*'{meant}'"):
        decorate(**{wrong: 1})


@pytest.mark.parametrize(("decorate", "fn"), [(on, react), (source, receive), (table, fold), (schedule, tick)])
def test_a_decorator_without_its_options_says_what_to_write(decorate: Any, fn: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"{HERE} {fn.__name__}.*write @{decorate.__name__}\("):
        decorate(fn)


@pytest.mark.parametrize("decorate", [agent, tool, on, source, table, schedule])
def test_help_and_editors_see_every_option(decorate: Any) -> None:
    parameters = inspect.signature(decorate).parameters.values()
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters)
    assert all(one.annotation is not one.empty for one in parameters)
    assert len(inspect.getdoc(decorate) or "") > 80


async def later(*_: Any) -> None: ...


def many(*_: Any) -> Iterator[Note]:
    yield Note(k="x")


async def many_later(*_: Any) -> Any:
    yield Note(k="x")


@pytest.mark.parametrize(
    ("decorate", "fn"),
    [
        *((source(verify=verify), fn) for fn in (later, many, many_later)),
        *((table(of=[Note], row=Row), fn) for fn in (later, many, many_later)),
        *((decorate, fn) for decorate in (on(Note), schedule(every=5), tool) for fn in (many, many_later)),
        (agent, many_later),
    ],
)
def test_functions_whose_body_a_call_does_not_run_are_refused(decorate: Any, fn: Any) -> None:
    with pytest.raises(DefinitionError, match=HERE):
        decorate(fn)


async def plain_input(task: Plain) -> None: ...
async def plain_result(task: Row) -> Plain:
    return Plain()


async def secret_result(task: Row) -> SecretStr:
    return SecretStr("x")


def plain_argument(word: Plain) -> str:
    return ""


def by_position(word: str, /) -> str:
    return word


def approving(pr: int, approve: bool = False) -> bool:
    return approve


def configuring(model_config: str) -> str:
    return model_config


def underscored(_word: str) -> str:
    return _word


@pytest.mark.parametrize(
    ("decorate", "fn"),
    [
        (agent, plain_input),
        (agent, plain_result),
        (agent, secret_result),
        *((tool, fn) for fn in (plain_argument, by_position, approving, configuring, underscored)),
    ],
)
def test_types_and_names_that_cannot_be_are_refused_where_they_are_written(decorate: Any, fn: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"{HERE} {fn.__name__}"):
        decorate(fn)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(attempts="3"),  # type: ignore[arg-type]
        lambda: RetryPolicy(first=math.inf),
        lambda: RetryPolicy(on=ConnectionError),  # type: ignore[arg-type]
        lambda: RetryPolicy(never=(ConnectionError("x"),)),  # type: ignore[arg-type]
        lambda: Breaker(failures=0),
        lambda: Breaker(cooldown="1m"),  # type: ignore[arg-type]
    ],
)
def test_policies_are_checked_where_they_are_written(make: Any) -> None:
    with pytest.raises(DefinitionError, match=HERE):
        make()


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: RetryPolicy(atempts=3), "attempts"),  # type: ignore[call-arg]
        (lambda: Breaker(coldown=3), "cooldown"),  # type: ignore[call-arg]
        (lambda: StartRun(noted, imput=3), "input"),  # type: ignore[call-arg]
        (lambda: hmac_sha256("x", prefx="a"), "prefix"),  # type: ignore[call-arg]
        (lambda: standard_webhooks(tolerence=3), "tolerance"),  # type: ignore[call-arg]
    ],
)
def test_a_misspelt_option_is_refused_where_it_is_written_with_the_one_that_was_meant(make: Any, meant: str) -> None:
    with pytest.raises(DefinitionError, match=rf"{HERE}: \w+ has no option .*did you mean '{meant}'\?"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: hmac_sha256(3),  # type: ignore[arg-type]
        lambda: hmac_sha256("x", encoding="b64"),  # type: ignore[arg-type]
        lambda: standard_webhooks(tolerance="5m"),  # type: ignore[arg-type]
        lambda: Breaker(per=5),  # type: ignore[arg-type]
    ],
)
def test_wrong_types_are_refused_where_they_are_written(make: Any) -> None:
    with pytest.raises(DefinitionError, match=HERE):
        make()


@pytest.mark.parametrize("made", [agent, tool, on, source, schedule, table, RetryPolicy, Breaker, StartRun])
def test_help_and_editors_show_each_option_with_its_type(made: Any) -> None:
    parameters = inspect.signature(made).parameters.values()
    assert not [one.name for one in parameters if one.kind is one.VAR_KEYWORD]
    assert not [one.name for one in parameters if one.annotation is one.empty]
    assert made.__doc__


@pytest.mark.parametrize(
    "options",
    [
        {"run_id": "pr/42"},
        {"run_id": ""},
        {"run_id": "x" * 129},
        {"run_id": "a\n"},
        {"priority": "urgent"},
        {"not_before": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"not_before": "tomorrow"},
        {"deadline": 0},
        {"deadline": "5m"},
        {"idempotency_key": 5},
    ],
)
def test_a_run_to_be_started_is_checked_as_a_request_is(options: Any) -> None:
    with pytest.raises(Reject, match="noted"):
        StartRun(noted, Row(k="x"), **options)
    StartRun(noted, run_id="pr-42:1", priority="low", not_before=datetime(2026, 1, 1, tzinfo=UTC), deadline=5)
