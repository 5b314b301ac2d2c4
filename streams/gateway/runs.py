"""Reads runs: relays the owner's answer, from whichever pool has the run, and never answers 404 after our own 202."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from schemas.run import RunSubmitted
from streams.clock import now_ms
from streams.contract.runs import RunHistory, RunResult, RunState, RunUnfinished
from streams.engine.submission import queued_view
from streams.gateway.answers import RUN_EXPIRED, RUN_NOT_SUCCEEDED, answer, answer_as, relayed
from streams.gateway.operation import Operation, Param
from streams.gateway.pools import no_worker
from streams.gateway.problem import (
    INVALID_REQUEST,
    MALFORMED_REQUEST,
    OWNER_UNAVAILABLE,
    Problem,
    ProblemType,
    invalid_request,
)
from streams.gateway.recent import Recent
from streams.gateway.submission import digest
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from starlette.responses import Response

    from schemas import Event
    from streams.gateway.deps import Deps
    from streams.gateway.operation import OperationCall
    from streams.query.wire import WorkerResponse

UNKNOWN_RUN: Final = ProblemType("unknown-run", 404, "There is no such run")
RUN_CONFLICT: Final = ProblemType("run-conflict", 409, "The run exists with another agent or input")
READ_PROBLEMS: Final = (UNKNOWN_RUN, OWNER_UNAVAILABLE)
"""What an operation that reads a run can answer."""

_REMEMBERED: Final = 20_000
_PEEK: Final = 1.0
"""Seconds for looking whether a run exists before it is written: the answer to the write must come within ten."""

_NOT_HERE: Final = "No live worker knows a run with this id, but it may be another pool's: "
_OK: Final = 200
_NOT_FOUND: Final = 404
_NOT_THERE: Final = 422
STALE: Final = Param("stale", {"type": "string", "enum": ["ok"]}, "a standby may answer while the owner does not")


class WrittenSubmission(NamedTuple):
    """A submission that this gateway wrote and the broker has."""

    event: RunSubmitted
    pool: str
    seal: bytes
    at_ms: int


class FoundRun(NamedTuple):
    """A run as its owner shows it."""

    pool: str
    view: dict[str, Any]


class RunNews(NamedTuple):
    """What is new of a run to somebody who watches it."""

    view: dict[str, Any]
    entries: list[dict[str, Any]]
    pieces: list[dict[str, Any]]


class Runs:
    """Finds runs over the pools."""

    def __init__(self, deps: Deps) -> None:
        self._owners = deps.owners
        self._pool_of = {agent.name: agent.pool for agent in deps.catalog.agents.values()}
        self._pools = sorted({agent.pool for agent in deps.catalog.agents.values()} | {"default"}, key=_default_first)
        self._written: Recent[str, WrittenSubmission] = Recent(_REMEMBERED)

    def submitted(self, event: RunSubmitted, pool: str, seal: bytes) -> None:
        """Remember a submission that was acknowledged."""
        self._written.put(event.run_id, WrittenSubmission(event, pool, seal, now_ms()))

    def started(self, event: Event) -> None:
        """Remember the run that a source started, if the event is its submission."""
        if isinstance(event, RunSubmitted):
            self.submitted(event, self._pool_of.get(event.agent, "default"), digest(event.agent, event.input))

    def forked(self, run_id: str, found: FoundRun) -> None:
        """Remember a fork that was acknowledged: it is queued until the old run's owner has written it."""
        event = RunSubmitted(
            run_id=run_id,
            agent=str(found.view["agent"]),
            input=found.view.get("input"),
            forked_from=str(found.view["run_id"]),
        )
        self.submitted(event, found.pool, digest(event.agent, event.input))

    async def exists(self, run_id: str, pool: str, seal: bytes) -> bool:
        """Return whether the run is known already; Problem 409 when it is with another agent or input.

        Where the owner does not answer, the run is written: its intake recognises the repeat.
        """
        written = self._written.get(run_id)
        if written is None:
            try:
                async with asyncio.timeout(_PEEK):
                    found = await self._find_live(run_id, pool)
            except (OwnerUnavailableError, TimeoutError):
                return False
            if found is None:
                return False
            if found.view["status"] == "expired":
                raise RUN_EXPIRED("A run with this id ended long ago; choose another id.", run_id=run_id)
            known = digest(str(found.view.get("agent")), found.view.get("input"))
        else:
            known = written.seal
        if known != seal:
            raise RUN_CONFLICT("A run with this id has another agent or input; it stays as it is.", run_id=run_id)
        return True

    async def _find_live(self, run_id: str, pool: str) -> FoundRun | None:
        """Look where the run may be without waiting for a pool that has no worker."""
        live = self._owners.pools()
        for candidate in [pool, *(other for other in self._pools if other != pool)]:
            if candidate in live:
                response = await self._owners.ask(candidate, run_id, _path(run_id, peek=True))
                if response.status == _OK:
                    return FoundRun(candidate, orjson.loads(response.body))
        return None

    async def view(self, run_id: str) -> FoundRun:
        """Return the run's view; Problem 404 or 503."""
        pool, response = await self._ask(run_id, "")
        if response.status == _OK:
            return FoundRun(pool, orjson.loads(response.body))
        written = self._written.get(run_id)
        if written is None:
            raise unknown(run_id)
        return FoundRun(written.pool, _queued(written))

    async def entries(self, run_id: str) -> list[dict[str, Any]]:
        """Return the run's journal; Problem 404 or 503."""
        _, response = await self._ask(run_id, "/history")
        if response.status != _OK:
            return []
        entries: list[dict[str, Any]] = orjson.loads(response.body)["entries"]
        return entries

    async def news(self, run_id: str, after: int, piece: int) -> RunNews:
        """Return the run, its entries behind the `seq` `after`, and the pieces of models' answers behind `piece`.

        Problem 404 or 503.
        """
        _, response = await self._ask(run_id, f"/news?after={after}&said={piece}")
        if response.status == _OK:
            return RunNews(**orjson.loads(response.body))
        written = self._written.get(run_id)
        if written is None:
            raise unknown(run_id)
        return RunNews(_queued(written), [], [])

    async def show(self, call: OperationCall) -> Response:
        """`GET /runs/{id}`."""
        run_id, at = call.param("id"), call.query_params.get("at")
        if at is not None and not (at.isascii() and at.isdigit() and int(at[:18]) > 0):
            raise invalid_request("at", "it must be the seq of an entry of the run's journal")
        stale = stale_of(call)
        if stale and at is not None:
            raise invalid_request("stale", "only the owner answers for a run as it was")
        _, response = await self._ask(run_id, "" if at is None else f"?at={at[:18]}", stale=stale)
        if response.status == _NOT_THERE:
            raise invalid_request("at", str(orjson.loads(response.body)["detail"]))
        if response.status != _NOT_FOUND:
            return relayed(response)
        written = self._written.get(run_id)
        if written is None:
            raise unknown(run_id)
        return answer_as(RunState, _queued(written))

    async def result(self, call: OperationCall) -> Response:
        """`GET /runs/{id}/result`."""
        run_id = call.param("id")
        relay = await self._relay(run_id, "/result")
        return relay or answer(RunUnfinished(run_id=run_id, status="queued"), 202)

    async def history(self, call: OperationCall) -> Response:
        """`GET /runs/{id}/history`."""
        run_id = call.param("id")
        return await self._relay(run_id, "/history") or answer(RunHistory(entries=[]))

    async def _relay(self, run_id: str, suffix: str) -> Response | None:
        """Return the owner's answer, None for a run that is on its queue; Problem 404 or 503."""
        _, response = await self._ask(run_id, suffix)
        if response.status != _NOT_FOUND:
            return relayed(response)
        if self._written.get(run_id) is None:
            raise unknown(run_id)
        return None

    async def _ask(self, run_id: str, suffix: str, *, stale: bool = False) -> tuple[str, WorkerResponse]:
        """Return the pool that knows the run and its answer, else a 404; Problem 503 if one that may is silent."""
        written = self._written.get(run_id)
        live = self._owners.pools()
        pools = [written.pool] if written else sorted({*self._pools, *live}, key=lambda pool: (pool not in live, pool))
        ask = self._owners.ask_stale if stale else self._owners.ask
        response: WorkerResponse | None = None
        for pool in pools:
            if response is not None and pool not in live and not stale:
                raise OWNER_UNAVAILABLE(f"{_NOT_HERE}{no_worker(pool)['reason']}", pool=pool, retry_after=1)
            try:
                # this gateway wrote the submission, so the owner need not search the queues for it
                response = await ask(pool, run_id, _path(run_id, suffix, peek=written is not None))
            except OwnerUnavailableError as error:
                raise silent(error) from error
            if response.status != _NOT_FOUND:
                return pool, response
        if response is None:
            raise unknown(run_id)
        return pools[0], response

    def operations(self) -> list[Operation]:
        """Return the operations that read one run."""
        at = Param("at", {"type": "integer", "minimum": 1}, "the seq of that entry")
        problems = (*READ_PROBLEMS, MALFORMED_REQUEST)
        return [
            Operation(
                "GET",
                "/runs/{id}",
                self.show,
                "read",
                "A run's state, as it is or as it was after an entry of its journal",
                {200: RunState},
                (*problems, INVALID_REQUEST),
                (at, STALE),
            ),
            Operation(
                "GET",
                "/runs/{id}/result",
                self.result,
                "read",
                "A run's result; 202 while it is not finished",
                {200: RunResult, 202: RunUnfinished},
                (*problems, RUN_NOT_SUCCEEDED, RUN_EXPIRED),
            ),
            Operation(
                "GET", "/runs/{id}/history", self.history, "read", "A run's journal", {200: RunHistory}, problems
            ),
        ]


def stale_of(call: OperationCall) -> bool:
    """Return whether the caller takes a standby's answer where the owner gives none; Problem 422 for another wish."""
    wish = call.query_params.get("stale")
    if wish not in (None, "ok"):
        raise invalid_request("stale", "it must be ok, or left out")
    return wish is not None


def silent(error: OwnerUnavailableError) -> Problem:
    """Return the 503 for an owner that does not answer."""
    return OWNER_UNAVAILABLE(str(error), retry_after=1)


def unknown(run_id: str) -> Problem:
    """Return the 404 for a run."""
    return UNKNOWN_RUN("No run has this id.", run_id=run_id)


def _path(run_id: str, suffix: str = "", *, peek: bool = False) -> str:
    path = f"/owner/runs/{quote(run_id, safe='')}{suffix}"
    return f"{path}{'&' if '?' in suffix else '?'}peek=1" if peek else path


def _default_first(pool: str) -> tuple[bool, str]:
    return pool != "default", pool


def _queued(written: WrittenSubmission) -> dict[str, Any]:
    """Return the view of a run whose owner has not yet taken it in."""
    return queued_view(written.event, written.at_ms).to_json()
