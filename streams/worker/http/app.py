"""The application behind a worker's port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import orjson
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streams.runtime.errors import StoreError
from streams.serving.hosts import EVERYWHERE, in_url
from streams.serving.protocol import bounded
from streams.serving.routes import register
from streams.worker.http.ownership_check import NotOwnerError, NotReadyError
from streams.worker.http.responses import answer, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from streams.worker.http.agents import AgentPages
    from streams.worker.http.approvals import ApprovalPages
    from streams.worker.http.budgets import BudgetPages
    from streams.worker.http.limits import LimitPages
    from streams.worker.http.run_list import RunListPages
    from streams.worker.http.runs import RunPages
    from streams.worker.http.schedules import SchedulePages
    from streams.worker.http.tables import TablePages

MAX_CONNECTIONS: Final = 4_096

Page = Callable[[Request], Awaitable[Response]]


def application(
    runs: RunPages,
    listed: RunListPages,
    tables: TablePages,
    limits: LimitPages,
    schedules: SchedulePages,
    agents: AgentPages,
    *,
    budgets: BudgetPages,
    approvals: ApprovalPages,
    ready: Callable[[], str | None],
    registry: CollectorRegistry,
) -> Starlette:
    """Return the routes; `ready` returns what is missing, None when nothing is."""

    async def healthz(_: Request) -> Response:
        return answer({"status": "alive"})

    async def readyz(_: Request) -> Response:
        missing = ready()
        return answer({"status": "ready"}) if missing is None else problem(503, missing)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    register()
    return Starlette(
        routes=[
            Route("/owner/runs", listed.page),
            Route("/owner/runs/{id}", runs.show),
            Route("/owner/runs/{id}/history", runs.history),
            Route("/owner/runs/{id}/result", runs.result),
            Route("/owner/runs/{id}/news", runs.news),
            Route("/owner/spoken", runs.tokens, methods=["POST"]),
            Route("/owner/tables/{name}", tables.scan),
            Route("/owner/tables/{name}/{key:text}", tables.row),
            Route("/owner/schedules", schedules.list),
            Route("/standby/runs/{id}", runs.copied),
            Route("/standby/tables/{name}/{key:text}", tables.copied),
            *limits.routes(),
            *agents.routes(),
            *budgets.routes(),
            *approvals.routes(),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ],
        exception_handlers={
            NotOwnerError: _not_owner,
            NotReadyError: _not_ready,
            StoreError: _not_ready,  # the partition went, and its store was closed, while it was read in a thread
            orjson.JSONDecodeError: _not_json,
        },
    )


async def _not_owner(_: Request, error: Exception) -> Response:
    return problem(421, str(error))


async def _not_ready(_: Request, error: Exception) -> Response:
    return problem(503, str(error))


async def _not_json(_: Request, error: Exception) -> Response:
    return problem(400, f"the body is not JSON: {error}")


class Server:
    """uvicorn inside the worker's own loop and without its signal handlers, which would end the process undrained."""

    def __init__(self, app: ASGIApp, host: str, port: int, url: str | None = None) -> None:
        """Bind when started; port 0 takes a free one. `url` is where others reach it, if not at host and port."""
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            http=bounded(MAX_CONNECTIONS // 2),
            ws="none",
        )
        self._server = uvicorn.Server(config)
        # the worker handles signals itself: uvicorn would raise them again, and the process would end undrained
        vars(self._server)["capture_signals"] = contextlib.nullcontext
        self._host = host
        self._url = url

    async def start(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> str:
        """Serve and return the base URL under which others reach this worker."""
        spawn(self._server.serve())
        while not self._server.started:
            if self._server.should_exit:
                raise OSError(f"the worker's port on {self._host} cannot be bound: choose another with --port")
            await asyncio.sleep(0.005)  # uvicorn has no event for it
        return self._url or f"http://{reached_at(self._host)}:{self.address[1]}"

    @property
    def address(self) -> tuple[str, int]:
        """Return the address and port that are bound, once it serves."""
        host, port, *_ = self._server.servers[0].sockets[0].getsockname()
        return host, port

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True


def reached_at(host: str) -> str:
    """Return what others put into a URL for a socket bound to `host`: for all addresses this machine's name."""
    if host in EVERYWHERE:
        return socket.gethostname()
    return in_url(host)
