"""What the demo plays on: a pipeline of real processes, pages to read, and a proxy that counts calls to the model."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.cli.demo.counting import CountingProxy
from streams.cli.demo.pages import Pages
from streams.cli.io.client import Gateway
from streams.local import llm
from streams.local.dev import local_pipeline
from streams.local.ports import free_ports
from streams.local.running import Running
from streams.local.supervisor import Child, Supervisor
from streams.model.model_from_settings import OPENAI_URL

if TYPE_CHECKING:
    from streams.local.merged_log import MergedLog
    from streams.settings import Settings

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is up; `secret` signs deliveries."""

    running: Running
    gateway: Gateway
    pages: Pages
    proxy: CountingProxy
    secret: str


@asynccontextmanager
async def scene(settings: Settings, log: MergedLog) -> AsyncIterator[Scene]:
    """Set everything up and take it down again; raises what the parts raise when they cannot start."""
    async with AsyncExitStack() as stack:
        pages = stack.enter_context(Pages())
        upstream, model = await _model(settings, await stack.enter_async_context(Supervisor(log)))
        proxy = stack.enter_context(CountingProxy(upstream))
        secret = secrets.token_hex(16)
        changed = settings.changed(
            "demo",
            gateway_port=0,
            llm_base_url=proxy.url,
            llm_model=model,
            webhook_secrets={**settings.webhook_secrets, "github": [secret]},
            fetch_allow=(*settings.fetch_allow, pages.host),
        )
        running = await stack.enter_async_context(local_pipeline(changed, crew={"default": WORKERS}, log=log))
        gateway = stack.enter_context(Gateway(running.url))
        yield Scene(running, gateway, pages, proxy, secret)


async def _model(settings: Settings, supervisor: Supervisor) -> tuple[str, str | None]:
    """Return base URL and name of the model: the one that is set, else the local one, started here."""
    if settings.llm_base_url is not None or settings.llm_api_key is not None:
        return settings.llm_base_url or OPENAI_URL, settings.llm_model
    file = llm.model_file(settings.llm_gguf, settings.cache_dir)
    (port,) = free_ports([0])
    address = llm.Address(port)
    child = Child.of("model", llm.command(file, port), address.environment, ready=address.health_url)
    await supervisor.start(child)
    await supervisor.wait_ready(child)
    return address.base_url, settings.llm_model or file.stem
