"""A whole pipeline on one machine: broker, model, workers and gateway, started together and stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.app import discover
from streams.clock import monotonic
from streams.local import llm
from streams.local.declare import declare_topics
from streams.local.errors import LocalError
from streams.local.folder import Pipeline, StateFolder
from streams.local.kafka import EmbeddedKafka
from streams.local.merged_log import MergedLog
from streams.local.ports import LOOPBACK, free_ports
from streams.local.supervisor import Child, Supervisor
from streams.query.cluster import secured
from streams.serving.hosts import loopback_of, url_here
from streams.settings import child_environment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable

    from streams.settings import Settings

SOURCE = "streams dev"
PROGRAM = (sys.executable, "-P", "-m", "streams")  # -P: a folder `topics` of the user does not stand in for ours
KAFKA, MODEL, WORKER, GATEWAY = range(4)  # ranks: what others need is stopped after them
DRAIN = 20.0  # seconds that a worker has to finish its batches and to leave its group


@dataclass(frozen=True, slots=True)
class Running:
    """A pipeline that is ready; `settings` are those that its processes see, `seconds` what the start took."""

    settings: Settings
    gateway: Child
    workers: tuple[Child, ...]
    kafka: EmbeddedKafka | None
    supervisor: Supervisor
    seconds: float

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return _url(self.settings)


async def run_dev(
    settings: Settings, *, workers: int, reset: bool, on_ready: Callable[[Running], None] | None = None
) -> int:
    """Run a pipeline until Ctrl-C or SIGTERM and return the exit status; StreamsError when it cannot start."""
    log = MergedLog(plain=settings.log_format == "json")
    _stop_on_signals(log)
    try:
        async with local_pipeline(settings, workers=workers, log=log, reset=reset) as running:
            log.line("dev", ready_line(running))
            if on_ready is not None:
                on_ready(running)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.line("dev", "stopped")
    return 0


@asynccontextmanager
async def local_pipeline(
    settings: Settings, *, workers: int, log: MergedLog, reset: bool = False
) -> AsyncIterator[Running]:
    """Start everything that `settings` do not say runs elsewhere, and stop it at the end of the block.

    `reset` empties the state folder first. Raises LocalError (its kinds), DiscoveryError, TopicError.
    """
    begun = monotonic()
    with StateFolder(settings.state_dir) as folder:
        if reset:
            folder.reset()
        settings = secured(settings.changed(SOURCE, state_dir=folder.path))
        kafka = None if settings.kafka_bootstrap_servers else EmbeddedKafka(folder.path, settings.cache_dir)
        async with Supervisor(log) as supervisor:
            model_port, gateway_port, *ports = _ports(settings, workers)
            broker, model, catalog = await asyncio.gather(
                _kafka(kafka, supervisor),
                _model(settings, model_port, supervisor),
                asyncio.to_thread(discover, settings.apps),  # imports for a second, meanwhile
            )
            seen = settings.changed(SOURCE, gateway_port=gateway_port, **broker, **model)
            await asyncio.to_thread(declare_topics, seen, catalog)
            gateway = _gateway(seen)
            crew = tuple(_worker(seen, slot, port) for slot, port in enumerate(ports))
            # first who is to be asked, then those who answer: a gateway that says it is ready is found by all commands
            addresses = (seen.kafka().bootstrap_servers, _url(seen), model.get("llm_base_url"))
            folder.announce(Pipeline(os.getpid(), *addresses))
            await asyncio.gather(*(_up(supervisor, child) for child in (*crew, gateway)))
            yield Running(seen, gateway, crew, kafka, supervisor, monotonic() - begun)


def ready_line(running: Running) -> str:
    """Return the line that tells people that all is up: seconds, and where to go."""
    settings = running.settings
    return (
        f"ready in {running.seconds:.1f} s: gateway and console {running.url} · "
        f"Kafka {settings.kafka_bootstrap_servers} · model {settings.llm_base_url or 'OpenAI'} · "
        f"{len(running.workers)} workers · Ctrl-C stops"
    )


def _ports(settings: Settings, workers: int) -> list[int]:
    """Return free ports for model, gateway and each worker; LocalError when the gateway's own is taken."""
    at = [LOOPBACK, loopback_of(settings.gateway_host), *[loopback_of(settings.worker_host)] * workers]
    ports = free_ports([0, settings.gateway_port, *[0] * workers], at)
    if settings.gateway_port not in {0, ports[1]}:
        message = (
            f"Port {settings.gateway_port} is taken: set STREAMS_GATEWAY_PORT to another one (0: any that is free)."
        )
        raise LocalError(message)
    return ports


async def _kafka(kafka: EmbeddedKafka | None, supervisor: Supervisor) -> dict[str, str]:
    """Start the embedded broker if it is wanted; return the settings that lead to it."""
    if kafka is None:
        return {}

    def launch() -> subprocess.Popen[bytes]:
        kafka.start()
        kafka.wait_ready()
        return kafka.process

    await supervisor.start(Child("kafka", launch, stop=kafka.stop, rank=KAFKA))
    return {"kafka_bootstrap_servers": kafka.bootstrap}


async def _model(settings: Settings, port: int, supervisor: Supervisor) -> dict[str, str]:
    """Start the local model unless another one is set; return the settings that lead to it."""
    if settings.llm_base_url is not None or settings.llm_api_key is not None:
        return {}
    file = await asyncio.to_thread(llm.model_file, settings.llm_gguf, settings.cache_dir)
    child = Child.of("model", llm.command(file, port), ready=llm.health_url(port), rank=MODEL)
    await _up(supervisor, child)
    return {"llm_base_url": llm.base_url(port), "llm_model": settings.llm_model or file.stem}


def _url(settings: Settings) -> str:
    return url_here(settings.gateway_host, settings.gateway_port)


def _worker(settings: Settings, slot: int, port: int) -> Child:
    environment = {**child_environment(settings, slot=str(slot), worker_port=port), "PYTHONUNBUFFERED": "1"}
    command = [*PROGRAM, "worker", "--slot", str(slot), "--port", str(port)]
    ready = f"{url_here(settings.worker_host, port)}/readyz"
    return Child.of(f"worker-{slot}", command, environment, ready=ready, grace=DRAIN, rank=WORKER)


def _gateway(settings: Settings) -> Child:
    environment = {**child_environment(settings), "PYTHONUNBUFFERED": "1"}
    ready = f"{_url(settings)}/readyz"
    return Child.of("gateway", [*PROGRAM, "gateway"], environment, ready=ready, rank=GATEWAY)


def _stop_on_signals(log: MergedLog) -> None:
    """Let the first Ctrl-C or SIGTERM stop all in order, and a second one end at once: the leash takes the children."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if task is None or task.cancelling():
            os._exit(130)
        log.line("dev", "stopping; once more ends at once")
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


async def _up(supervisor: Supervisor, child: Child) -> None:
    await supervisor.start(child)
    await supervisor.wait_ready(child)
