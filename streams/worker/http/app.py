"""The application behind a worker's port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streams.worker.http.answers import answer, problem
from streams.worker.http.proof import NotOwnerError, NotReadyError

if TYPE_CHECKING:
    from streams.worker.http.agents import AgentPages
    from streams.worker.http.budgets import BudgetPages
    from streams.worker.http.limits import LimitPages
    from streams.worker.http.runlist import RunList
    from streams.worker.http.runs import RunPages
    from streams.worker.http.schedules import SchedulePages
    from streams.worker.http.tables import TablePages

Page = Callable[[Request], Awaitable[Response]]


def application(
    runs: RunPages,
    listed: RunList,
    tables: TablePages,
    limits: LimitPages,
    schedules: SchedulePages,
    agents: AgentPages,
    *,
    budgets: BudgetPages,
    ready: Callable[[], str | None],
    registry: CollectorRegistry,
) -> Starlette:
    """Return the routes; `ready` tells what is missing, None when nothing is."""

    async def healthz(_: Request) -> Response:
        return answer({"status": "alive"})

    async def readyz(_: Request) -> Response:
        missing = ready()
        return answer({"status": "ready"}) if missing is None else problem(503, missing)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/owner/runs", listed.page),
            Route("/owner/runs/{id}", runs.show),
            Route("/owner/runs/{id}/history", runs.history),
            Route("/owner/runs/{id}/result", runs.result),
            Route("/owner/runs/{id}/news", runs.news),
            Route("/owner/spoken", runs.spoken, methods=["POST"]),
            Route("/owner/tables/{name}", tables.scan),
            Route("/owner/tables/{name}/{key:path}", tables.row),
            Route("/owner/schedules", schedules.list),
            Route("/standby/runs/{id}", runs.copied),
            Route("/standby/tables/{name}/{key:path}", tables.copied),
            *limits.routes(),
            *agents.routes(),
            *budgets.routes(),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ],
        exception_handlers={NotOwnerError: _not_owner, NotReadyError: _not_ready},
    )


async def _not_owner(_: Request, error: Exception) -> Response:
    return problem(421, str(error))


async def _not_ready(_: Request, error: Exception) -> Response:
    return problem(503, str(error))


class Server:
    """uvicorn inside the worker's own loop and without its signal handlers, which would end the process undrained."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        """Bind when started; port 0 takes a free one."""
        config = uvicorn.Config(app, host=host, port=port, lifespan="off", access_log=False, log_config=None)
        self._server = uvicorn.Server(config)
        # the worker handles signals itself: uvicorn would raise them again, and the process would end undrained
        vars(self._server)["capture_signals"] = contextlib.nullcontext
        self._host = host

    async def start(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> str:
        """Serve and return the base URL."""
        spawn(self._server.serve())
        while not self._server.started:
            if self._server.should_exit:
                raise OSError(f"the worker's port on {self._host} cannot be bound: choose another with --port")
            await asyncio.sleep(0.005)  # uvicorn has no event for it
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://{self._host}:{port}"

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
