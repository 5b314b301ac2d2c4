"""A whole pipeline on one machine: broker, model, workers and gateway, started together and stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, closing, nullcontext
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from streams.app import discover
from streams.clock import monotonic
from streams.local import llm
from streams.local.declare import declare_topics
from streams.local.edits import reload_on_edits
from streams.local.errors import LocalError
from streams.local.folder import Pipeline, StateFolder
from streams.local.forks import Forks
from streams.local.kafka import EmbeddedKafka
from streams.local.merged_log import MergedLog
from streams.local.ports import LOOPBACK, free_ports
from streams.local.running import Running, gateway_url
from streams.local.supervisor import Child, Supervisor
from streams.query.cluster import secured
from streams.serving.hosts import loopback_of, url_here
from streams.settings import child_environment

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable, Mapping

    from streams.app import Catalog
    from streams.settings import Settings

SOURCE = "streams dev"
PROGRAM = (sys.executable, "-P", "-m", "streams")  # -P: a folder `topics` of the user does not stand in for ours
KAFKA, MODEL, WORKER, GATEWAY = range(4)  # ranks: what others need is stopped after them
DRAIN = 20.0  # seconds that a worker has to finish its batches and to leave its group


async def run_dev(
    settings: Settings,
    *,
    workers: int,
    reset: bool,
    reload: bool = False,
    pools: Mapping[str, int] | None = None,
    on_ready: Callable[[Running], None] | None = None,
) -> int:
    """Run a pipeline until Ctrl-C or SIGTERM and return the exit status; StreamsError when it cannot start.

    `pools` are numbers of workers by pool, beside the `workers` of the default one. With `reload` an edit of the user's
    code restarts all workers, and the gateway if it concerns it.
    """
    log = MergedLog(plain=settings.log_format == "json")
    _stop_on_signals(log)
    crew = {"default": workers, **(pools or {})}
    try:
        with closing(Forks()) if reload else nullcontext() as forks:
            async with local_pipeline(settings, crew=crew, log=log, reset=reset, forks=forks) as running:
                log.line("dev", ready_line(running))
                if on_ready is not None:
                    on_ready(running)
                await (asyncio.Event().wait() if forks is None else reload_on_edits(running, forks, log))
    except asyncio.CancelledError:
        log.line("dev", "stopped")
    return 0


@asynccontextmanager
async def local_pipeline(
    settings: Settings,
    *,
    crew: Mapping[str, int],
    log: MergedLog,
    reset: bool = False,
    forks: Forks | None = None,
) -> AsyncIterator[Running]:
    """Start everything that `settings` do not say runs elsewhere, and stop it at the end of the block.

    `crew` are numbers of workers by pool. `reset` empties the state folder first. With `forks` workers and gateway are
    forks of a process that has imported the product. Raises LocalError (its kinds), DiscoveryError, TopicError.
    """
    begun = monotonic()
    with StateFolder(settings.state_dir) as folder:
        if reset:
            folder.reset()
        settings = secured(settings.changed(SOURCE, state_dir=folder.path))
        kafka = None if settings.kafka_bootstrap_servers else EmbeddedKafka(folder.path, settings.cache_dir)
        async with Supervisor(log) as supervisor:
            places = [(pool, slot) for pool, count in crew.items() for slot in range(count)]
            model_port, gateway_port, *ports = _ports(settings, len(places))
            broker, model, catalog = await asyncio.gather(
                _kafka(kafka, supervisor),
                _model(settings, model_port, supervisor),
                asyncio.to_thread(discover, settings.apps),  # imports for a second, meanwhile
            )
            _check_pools(crew, catalog, log)
            seen = settings.changed(SOURCE, gateway_port=gateway_port, **broker, **model)
            await asyncio.to_thread(declare_topics, seen, catalog)
            gateway = _gateway(seen, forks)
            workers = tuple(
                _worker(seen, pool, slot, port, forks) for (pool, slot), port in zip(places, ports, strict=True)
            )
            # first who is to be asked, then those who answer: a gateway that says it is ready is found by all commands
            addresses = (seen.kafka().bootstrap_servers, gateway_url(seen), model.get("llm_base_url"))
            folder.announce(Pipeline(os.getpid(), *addresses))
            await asyncio.gather(*(_up(supervisor, child) for child in (*workers, gateway)))
            yield Running(seen, gateway, workers, kafka, supervisor, monotonic() - begun, catalog)


def ready_line(running: Running) -> str:
    """Return the line for people when all is up: seconds, and where to go."""
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
    address = llm.Address(port)
    child = Child.of("model", llm.command(file, port), address.environment, ready=address.health_url, rank=MODEL)
    await _up(supervisor, child)
    return {"llm_base_url": address.base_url, "llm_model": settings.llm_model or file.stem}


def _worker(settings: Settings, pool: str, slot: int, port: int, forks: Forks | None) -> Child:
    name = f"worker-{slot}" if pool == "default" else f"worker-{pool}-{slot}"
    arguments = ["worker", *(() if pool == "default" else ("--pool", pool)), "--slot", str(slot), "--port", str(port)]
    own = settings.changed(SOURCE, pool=pool, slot=str(slot), worker_port=port)
    ready = f"{url_here(settings.worker_host, port)}/readyz"
    return _command(name, arguments, own, forks, ready=ready, grace=DRAIN, rank=WORKER)


def _gateway(settings: Settings, forks: Forks | None) -> Child:
    return _command(
        "gateway", ["gateway"], settings, forks, ready=f"{gateway_url(settings)}/readyz", grace=10, rank=GATEWAY
    )


def _command(
    name: str,
    arguments: list[str],
    settings: Settings,
    forks: Forks | None,
    *,
    ready: str,
    grace: float,
    rank: int,
) -> Child:
    """Return the child that runs `streams ARGUMENTS`, started anew or as a fork."""
    environment = {**child_environment(settings), "PYTHONUNBUFFERED": "1"}
    if forks is None:
        return Child.of(name, [*PROGRAM, *arguments], environment, ready=ready, grace=grace, rank=rank)
    return Child(name, partial(forks.launch, arguments, environment), ready, grace=grace, rank=rank)


def _check_pools(crew: Mapping[str, int], catalog: Catalog, log: MergedLog) -> None:
    """Raise LocalError for workers of a pool that does not exist; warn of a pool that gets none."""
    known = catalog.pools()
    for pool in crew:
        if pool not in known:
            near = get_close_matches(pool, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"the pools are {', '.join(known)}."
            raise LocalError(f"No agent or table is in a pool {pool!r}: {hint}")
    for pool in known:
        if not crew.get(pool):
            log.line("dev", f"no worker of pool {pool} is started, so its runs wait: add --pool {pool}=1")


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
