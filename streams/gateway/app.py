"""Puts the gateway together: `build` makes the ASGI application from what it is given, and starts nothing."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.routing import Route

from streams.gateway import operations
from streams.gateway.access import Keys, check_bind
from streams.gateway.agents import Agents, of_agents
from streams.gateway.answers import answer
from streams.gateway.approvals import Approvals, of_approvals
from streams.gateway.archive import Archive
from streams.gateway.breakers import Breakers, of_breakers
from streams.gateway.budgets import Budgets, of_budgets
from streams.gateway.commands import Commands
from streams.gateway.console import Console
from streams.gateway.deliveries import Deliveries
from streams.gateway.direct import Direct
from streams.gateway.endpoint import Endpoint, Guard
from streams.gateway.letters import Letters
from streams.gateway.lists import RunList
from streams.gateway.log_operations import of_archive, of_letters
from streams.gateway.meter import Meter
from streams.gateway.openapi import document
from streams.gateway.operation import Operation, OperationCall
from streams.gateway.past_rows import Past
from streams.gateway.people import People
from streams.gateway.probes import Probes
from streams.gateway.problem import Problem
from streams.gateway.publish import Publish
from streams.gateway.run_events import RunEvents
from streams.gateway.runs import Runs
from streams.gateway.schedules import Schedules, of_schedules
from streams.gateway.sse import Streams
from streams.gateway.submission import Submissions
from streams.gateway.submit import RunSubmitter
from streams.gateway.tables import Tables
from streams.gateway.threads import GatewayThreads
from streams.gateway.token_fanout import TokenFanout
from streams.gateway.webhooks import Webhooks
from streams.serving.hosts import LOCAL_HOSTS, host_name, host_of, in_url
from streams.serving.routes import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import StatelessLifespan

    from streams.gateway.deps import Deps

_NOT_FOUND: Final = 404


def build(
    deps: Deps, *, deliveries: Deliveries | None = None, lifespan: StatelessLifespan[Starlette] | None = None
) -> Starlette:
    """Return the gateway; UnsafeBindError when it would be open to others without keys, or holds a blank secret."""
    settings = deps.settings
    keys = Keys(settings.api_keys)
    check_bind(settings.gateway_host, keys)
    meter = Meter()
    hosts = (
        frozenset()
        if keys
        else LOCAL_HOSTS | {host_name(in_url(settings.gateway_host)), host_of(settings.advertised_url or "")} - {""}
    )
    remembered = deliveries or Deliveries()
    streams, voices = Streams(), TokenFanout(deps.owners)
    served = declared(deps, remembered, meter, streams, voices)
    openapi = document(served, version("streams"), settings.advertised_url)

    async def describe(_: OperationCall) -> Response:
        return answer(openapi)

    served.append(
        Operation("GET", "/openapi.json", describe, "open", "This document", {200: {"type": "object"}}, tag="probes")
    )
    openapi |= document(served, version("streams"), settings.advertised_url)
    register()
    endpoints = _endpoints(served, Guard(keys, hosts, meter))
    routes = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    app = Direct(endpoints, routes=routes, exception_handlers={HTTPException: _outside}, lifespan=lifespan)
    app.state.deliveries = remembered
    app.state.streams = streams
    app.state.voices = voices
    return app


def declared(
    deps: Deps, deliveries: Deliveries, meter: Meter, streams: Streams, voices: TokenFanout
) -> list[Operation]:
    """Return every operation, those with the most traffic first, since routes are tried in order."""
    runs, threads = Runs(deps), GatewayThreads()
    commands, submissions = Commands(deps, runs), Submissions(deps.catalog, deps.names)
    webhooks = Webhooks(deps, submissions, runs, deliveries, meter)
    return [
        *operations.of_webhooks(webhooks),
        Publish(deps).operation(),
        RunSubmitter(deps, submissions, runs).operation(),
        *operations.of_runs(runs, RunList(deps), RunEvents(deps, runs, streams, voices)),
        *operations.of_commands(commands),
        *of_approvals(Approvals(deps, runs, commands)),
        *operations.of_tables(Tables(deps, Past(deps, threads))),
        *of_archive(Archive(deps, threads, streams)),
        *of_letters(Letters(deps, threads, webhooks)),
        *of_agents(Agents(deps)),
        *of_budgets(Budgets(deps, runs)),
        *of_breakers(Breakers(deps)),
        *operations.of_people(People(deps)),
        *of_schedules(Schedules(deps)),
        *operations.of_probes(Probes(deps, meter)),
        *Console().operations(),
    ]


def _endpoints(served: Sequence[Operation], guard: Guard) -> dict[str, Endpoint]:
    by_path: dict[str, list[Operation]] = {}
    for operation in served:
        by_path.setdefault(operation.path, []).append(operation)
    return {path: Endpoint(path, found, guard) for path, found in by_path.items()}


async def _outside(_: Request, error: Exception) -> Response:
    """Answer what no endpoint answers: an unknown path, or a refusal of the framework."""
    status = error.status_code if isinstance(error, HTTPException) else _NOT_FOUND
    if status == _NOT_FOUND:
        return Problem("not-found", "Nothing is served under this path; see /openapi.json.").response()
    return Problem("malformed-request", "The request cannot be read.").response()
