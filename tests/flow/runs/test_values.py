"""What a function gets live is what its record says: for results of steps, tools, models, children and agents."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, computed_field

from schemas import Event
from streams import Run, StartRun, agent, on, tool
from streams.errors import DefinitionError, StepFailed
from streams.testing import Harness, run_agent

MADE: list[str] = []


class Person(BaseModel):
    first_name: str = Field(alias="firstName")


class Team(BaseModel):
    model_config = ConfigDict(extra="forbid")
    people: list[Person] = Field(serialization_alias="members")

    @computed_field
    def size(self) -> int:
        return len(self.people)


ADA = Person(firstName="Ada")
TEAM = Team(people=[ADA])


class Signed(Event, type="test.signed", key="who"):
    who: str
    person: Person
    maybe: Person | None = None
    either: Person | int = 0


@tool
def fetch() -> Person:
    return ADA


@tool
def greet(person: Person) -> str:
    return person.first_name


@tool
def team_of(team: Team) -> Team:
    return team


@agent
async def grow(team: Team) -> Team:
    return Team(people=[*team.people, ADA])


@agent
async def aliased(run: Run) -> list[Any]:
    asked = await run.llm("Who?", returns=Person)
    return [
        asked.first_name,
        (await run.tool(fetch)).first_name,
        await run.tool(greet, person=ADA),
        (await run.tool(team_of, team=TEAM)).size,
        (await run.step(lambda: TEAM)) is not None,
        (await run.call(grow, TEAM)).size,
    ]


@pytest.mark.parametrize("evict", [False, True])
def test_models_with_aliases_survive_wherever_they_go(evict: bool) -> None:
    outcome = run_agent(aliased, model=[ADA], evict=evict)
    assert outcome.result == ["Ada", "Ada", "Ada", 1, True, 2]


async def download() -> bytes:
    MADE.append("download")
    return b"%PDF-1.7\xff\xfe"


def untyped():  # type: ignore[no-untyped-def]  # noqa: ANN201
    return {"raw": b"\xff", "text": b"text", "nan": math.nan, "large": 2**70, "pairs": {(1, 2): "x"}}


def plain() -> dict[str, Any]:
    return untyped()  # type: ignore[no-untyped-call,no-any-return]


def infinite() -> float:
    return -math.inf


def no_number():  # type: ignore[no-untyped-def]  # noqa: ANN201
    return math.nan


@tool
def measure(number: float, data: bytes, pairs: dict[tuple[int, int], str]) -> dict[str, Any]:
    return {"number": number, "data": data, "pairs": pairs}


@agent
async def echo(value: dict[str, Any]) -> dict[str, Any]:
    return value


@agent
async def strange(run: Run) -> list[Any]:
    raw = await run.step(download)
    held = await run.step(untyped)
    typed = await run.step(plain)
    number = await run.step(infinite)
    none = await run.step(no_number)
    called = await run.tool(measure, number=math.inf, data=b"\xfe", pairs={(1, 2): "x"})
    child = await run.call(echo, held)
    await run.sleep(1)  # with eviction all of the above is now what the records say
    return [raw, held, typed, number, none, called, child]


@pytest.mark.parametrize("evict", [False, True])
def test_what_json_cannot_carry_is_the_same_live_and_replayed(evict: bool) -> None:
    raw, held, typed, number, none, called, child = run_agent(strange, evict=evict).result
    wanted = {"raw": b"\xff", "text": b"text", "nan": math.nan, "large": 2**70, "pairs": {(1, 2): "x"}}
    assert raw == b"%PDF-1.7\xff\xfe"
    assert repr(held) == repr(typed) == repr(child) == repr(wanted)
    assert number == -math.inf
    assert math.isnan(none)
    assert called == {"number": math.inf, "data": b"\xfe", "pairs": {(1, 2): "x"}}


class Login(BaseModel):
    password: SecretStr


@agent
async def child(login: Login) -> str:
    return login.password.get_secret_value()


@agent
async def caller(run: Run) -> str:
    return await run.call(child, Login(password=SecretStr("hunter2")))


def secretive() -> SecretStr:
    MADE.append("secretive")
    return SecretStr("hunter2")


def unsaid():  # type: ignore[no-untyped-def]  # noqa: ANN201
    return {"found": 7, "password": SecretStr("hunter2")}


@agent
async def stepping(run: Run) -> Any:
    return await run.step(secretive)


@agent
async def unsaying(run: Run) -> Any:
    return await run.step(unsaid)


class Told(Event, type="test.told", key="who"):
    who: str
    secret: SecretStr


@agent
async def telling(run: Run) -> None:
    await run.emit(Told(who="w", secret=SecretStr("hunter2")))


@pytest.mark.parametrize("wrong", [caller, stepping, unsaying, telling])
def test_a_secret_is_an_error_and_never_stars(wrong: Any) -> None:
    MADE.clear()
    outcome = run_agent(wrong)
    assert outcome.status == "failed"
    assert "cannot be recorded" in outcome.error["message"]
    assert MADE == []  # where the type shows it, nothing is called
    assert "hunter2" not in str(outcome.history)


def test_what_a_step_returned_that_no_record_can_hold_is_shown_in_the_history() -> None:
    (entry,) = [line for line in run_agent(unsaying).history if line["kind"] == "step"]
    assert (entry["status"], entry["output"]["found"], entry["attempt"]) == ("failed", 7, 1)


def test_a_tool_whose_type_has_a_secret_is_refused_where_it_is_written() -> None:
    with pytest.raises(DefinitionError, match=r"test_values\.py:\d+.*cannot be recorded"):

        @tool
        def use(password: SecretStr) -> str:
            return password.get_secret_value()


@on(Signed)
def starts(event: Signed) -> StartRun:
    return StartRun(echo, {"nan": math.nan})


def test_values_cross_reactions_signals_and_forks() -> None:
    harness = Harness(listening)
    run_id = harness.submit(listening)
    harness.settle()
    harness.signal(run_id, "said", {"nan": math.nan, "raw": b"\xff"})
    harness.run()
    assert repr(harness.outcome(run_id).result) == repr({"nan": math.nan, "raw": b"\xff"})


@agent
async def listening(run: Run) -> Any:
    return await run.wait_for("said")


@agent
async def failing(run: Run) -> Any:
    try:
        return await run.step(unsaid)
    except StepFailed as error:
        return error.type


def test_the_error_is_the_steps_own() -> None:
    assert run_agent(failing).result == "UnrecordableError"


@tool(approval=True)
def merge(pr: int) -> str:
    return f"merged {pr}"


@agent
async def chosen(arguments: dict[str, Any], run: Run) -> Any:
    return await run.tool(merge, arguments)


@pytest.mark.parametrize("arguments", [{"pr": 1}, {"pr": 1, "approve": False}, {"approve": False}])
def test_arguments_as_a_mapping_reach_no_control_parameter(arguments: dict[str, Any]) -> None:
    harness = Harness(chosen)
    run_id = harness.submit(chosen, arguments)
    harness.settle()
    if arguments == {"pr": 1}:
        assert harness.status(run_id) == "waiting"
    else:  # `approve` is an argument that the tool does not have
        assert harness.status(run_id) == "failed"
    assert harness.calls == []
