"""Puts the gateway together: `build` makes the ASGI application from what it is given, and starts nothing."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.routing import Route

from streams.contract.probes import OpenApiDocument
from streams.gateway.access import Keys, check_bind
from streams.gateway.agents import Agents
from streams.gateway.answers import answer_as
from streams.gateway.approvals import Approvals
from streams.gateway.breakers import Breakers
from streams.gateway.budgets import Budgets
from streams.gateway.commands import Commands
from streams.gateway.console import Console
from streams.gateway.dead_letters import DeadLetterResource
from streams.gateway.deliveries import Deliveries
from streams.gateway.direct import Direct
from streams.gateway.endpoint import Endpoint, Guard
from streams.gateway.gateway_metrics import GatewayMetrics
from streams.gateway.openapi import document
from streams.gateway.operation import Operation, OperationCall, Resource
from streams.gateway.past_rows import Past
from streams.gateway.probes import Probes
from streams.gateway.problem import MALFORMED_REQUEST, NOT_FOUND
from streams.gateway.publish import EventPublisher
from streams.gateway.run_events import RunEvents
from streams.gateway.run_list import RunList
from streams.gateway.runs import Runs
from streams.gateway.schedules import Schedules
from streams.gateway.sql import SqlResource
from streams.gateway.sse import Streams
from streams.gateway.submission import Submissions
from streams.gateway.submit import RunSubmitter
from streams.gateway.tables import Tables
from streams.gateway.threads import GatewayThreads
from streams.gateway.token_fanout import TokenFanout
from streams.gateway.tools import ToolResource
from streams.gateway.topics import TopicResource
from streams.gateway.webhooks import Webhooks
from streams.gateway.workers import WorkerResource
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
    metrics = GatewayMetrics()
    hosts = (
        frozenset()
        if keys
        else LOCAL_HOSTS | {host_name(in_url(settings.gateway_host)), host_of(settings.advertised_url or "")} - {""}
    )
    remembered = deliveries or Deliveries()
    streams, fanout = Streams(), TokenFanout(deps.owners)
    served = operations(resources(deps, remembered, metrics, streams, fanout), settings.advertised_url)
    register()
    endpoints = _endpoints(served, Guard(keys, hosts, metrics))
    routes = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    app = Direct(endpoints, routes=routes, exception_handlers={HTTPException: _outside}, lifespan=lifespan)
    app.state.deliveries = remembered
    app.state.streams = streams
    app.state.token_fanout = fanout
    return app


def operations(resources: Sequence[Resource], url: str | None) -> list[Operation]:
    """Return the operations of all resources and the one that describes them; `url` is where clients reach them."""
    served = [operation for resource in resources for operation in resource.operations()]

    async def describe(_: OperationCall) -> Response:
        return answer_as(OpenApiDocument, openapi)

    served.append(
        Operation("GET", "/openapi.json", describe, "open", "This document", {200: OpenApiDocument}, tag="probes")
    )
    openapi = document(served, version("streams"), url)
    return served


def resources(
    deps: Deps, deliveries: Deliveries, metrics: GatewayMetrics, streams: Streams, fanout: TokenFanout
) -> list[Resource]:
    """Return every resource, those with the most traffic first, since routes are tried in order."""
    runs, threads = Runs(deps), GatewayThreads()
    commands, submissions = Commands(deps, runs), Submissions(deps.catalog, deps.names)
    webhooks = Webhooks(deps, submissions, runs, deliveries, metrics)
    return [
        webhooks,
        EventPublisher(deps),
        RunSubmitter(deps, submissions, runs),
        RunEvents(deps, runs, streams, fanout),
        runs,
        RunList(deps),
        commands,
        Approvals(deps, runs, commands),
        Tables(deps, Past(deps, threads)),
        TopicResource(deps, threads, streams),
        DeadLetterResource(deps, threads, webhooks),
        Agents(deps),
        Budgets(deps, runs),
        Breakers(deps),
        ToolResource(deps),
        WorkerResource(deps),
        Schedules(deps),
        SqlResource(deps),
        Probes(deps, metrics),
        Console(),
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
        return NOT_FOUND("Nothing is served under this path; see /openapi.json.").response()
    return MALFORMED_REQUEST("The request cannot be read.").response()
