"""Makes the record that starts a run, from a request or from a source, checked against the agent's own type."""

from __future__ import annotations

import difflib
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from schemas.run import RunSubmitted
from schemas.typedjson import checked_to_json, from_json
from streams.clock import now_ms
from streams.gateway.body import dump
from streams.gateway.problem import ProblemType, field_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.app import Catalog
    from streams.define.agents import Agent
    from streams.define.starts import StartRun
    from topics.names import Names

UNKNOWN_AGENT: Final = ProblemType("unknown-agent", 404, "There is no such agent")
INVALID_INPUT: Final = ProblemType("invalid-input", 422, "The input does not fit the agent")


def near(name: str, known: Iterable[str]) -> str:
    """Return the names that were probably meant, as a question, or where to find all."""
    found = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(found)}?" if found else "see `streams agents list` or GET /agents."


class Submissions:
    """The agents of a catalogue with their types compiled once, since building a validator costs more than using it."""

    def __init__(self, catalog: Catalog, names: Names) -> None:
        self._agents = catalog.agents
        self._topics = {name: names.agents(name) for name in catalog.agents}

    def agent(self, name: str) -> Agent[Any, Any]:
        """Return the agent; Problem 404 when there is none."""
        agent = self._agents.get(name)
        if agent is None:
            raise UNKNOWN_AGENT(f"No agent has that name; {near(name, self._agents)}")
        return agent

    def topic(self, agent: str) -> str:
        """Return the agent's queue."""
        return self._topics[agent]

    def check(self, agent: str, value: object) -> None:
        """Raise Problem 422 naming the fields of the input that the agent's type refuses."""
        dump(value)  # Problem 400 for what is nested too deeply
        try:
            from_json(value, self._agents[agent].input_type)
        except ValidationError as error:
            errors = field_errors(error.errors(include_url=False, include_context=False, include_input=False), "input")
            first = errors[0]
            detail = f"{first['field']}: {first['message']}."
            raise INVALID_INPUT(detail, errors=errors, agent=agent) from None

    def checked(self, name: str, value: object) -> Agent[Any, Any]:
        """Return the agent called `name`; Problem 404 without one, 422 when it does not take the input."""
        agent = self.agent(name)
        self.check(name, value)
        return agent

    def jsonable(self, agent: str, value: object) -> Any:
        """Return an input that code made (a model or plain data) as JSON."""
        return checked_to_json(value, self._agents[agent].input_type)

    def of_start(self, start: StartRun, run_id: str, caller: str) -> RunSubmitted:
        """Return the submission that a source's `StartRun` asks for; Problem when the input does not fit."""
        agent = start.agent
        now = now_ms()
        return RunSubmitted(
            run_id=start.run_id or run_id,
            agent=agent.name,
            input=self.jsonable(agent.name, start.input),
            priority=start.priority or agent.priority,
            deadline_ms=None if start.deadline is None else now + round(start.deadline * 1000),
            not_before_ms=moment(start.not_before, now),
            caller=caller,
            idempotency_key=start.idempotency_key,
        )


def digest(agent: str, value: object) -> bytes:
    """Return what two submissions of one run must share: the agent and the input, in any order of members."""
    return orjson.dumps([agent, value], option=orjson.OPT_SORT_KEYS)


def submission_id(run_id: str, seal: bytes) -> str:
    """Return the record's id: equal for a repeat, different for a misuse of the run id, which must not pass as one."""
    return f"{run_id}/submitted/{hashlib.sha256(seal).hexdigest()[:16]}"


def moment(value: datetime | float | None, now: int) -> int | None:
    """Return a time, or seconds after `now`, in milliseconds since the epoch."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return now + round(value * 1000)
