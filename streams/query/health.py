"""How the pipeline is, asked of the log and the model: for the health check that the clock starts. Blocking."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import httpx

from schemas.dead import DeadLettered
from schemas.errors import SchemaError
from schemas.worker import WorkerHeartbeat
from streams.app import Catalog, discover
from streams.choices import is_loopback
from streams.query.cluster import cluster_secret
from streams.query.codec import codec_of
from streams.query.retention_risk import close_to_deletion
from streams.query.worker_reports import open_breakers, stale_runs
from topics.admin import weak_partitions
from topics.groups import lag
from topics.names import Names
from topics.reader import Time, read

if TYPE_CHECKING:
    from streams.settings import Settings

MOST_BEHIND: Final = 10_000
"""Records that a topic's workers may be behind."""

ALIVE_MS: Final = 15_000
"""A worker beats every second."""

WINDOW_MS: Final = 15 * 60 * 1000
"""Dead letters of this long count; a consumer without one for so long is well again."""

_LETTERS: Final = 5_000  # so many say enough
_ANSWER_S: Final = 5.0
_BROKEN: Final = 500
_SHOWN: Final = 5


def problems(settings: Settings, now_ms: int) -> dict[str, str]:
    """Return what is wrong by name: health/broker, /workers, /lag, /retention, /model, /runs, dead/…, breaker/….

    Raises TopicError when the log cannot be read.
    """
    catalog = discover(settings.apps)
    alive = _alive(settings, now_ms)
    urls, secret = [beat.url for beat in alive if beat.url], cluster_secret(settings)
    found = {
        "health/broker": _broker(settings),
        "health/workers": _workers(alive, catalog),
        "health/lag": _lag(settings, catalog),
        "health/retention": close_to_deletion(settings, catalog, now_ms),
        "health/model": _model(settings),
        "health/runs": stale_runs(urls, secret, now_ms),
    }
    found |= {f"breaker/{tool}": text for tool, text in open_breakers(urls, secret).items()}
    return {name: text for name, text in found.items() if text} | _dead(settings, now_ms)


def _broker(settings: Settings) -> str | None:
    weak = weak_partitions(settings.kafka(), Names(settings.topic_prefix).topic(""))
    shown = ", ".join(weak[:_SHOWN])
    return f"{len(weak)} partitions have no leader or too few copies in sync: {shown}" if weak else None


def _alive(settings: Settings, now_ms: int) -> list[WorkerHeartbeat]:
    codec = codec_of(settings, Catalog())
    alive: dict[bytes | None, WorkerHeartbeat] = {}
    beats = Names(settings.topic_prefix).workers
    for record in read(settings.kafka(), beats, start=Time(now_ms - ALIVE_MS)):
        alive.pop(record.key, None)
        if record.value is not None:
            beat = codec.decode(record.value, WorkerHeartbeat)
            if now_ms - beat.at_ms < ALIVE_MS and beat.state == "running":
                alive[record.key] = beat
    return list(alive.values())


def _workers(alive: list[WorkerHeartbeat], catalog: Catalog) -> str | None:
    missing = sorted({"default", *catalog.pools()} - {beat.pool for beat in alive})
    return f"no worker of pool {', '.join(missing)} is alive" if missing else None


def _lag(settings: Settings, catalog: Catalog) -> str | None:
    names = Names(settings.topic_prefix)
    topics: dict[str, list[str]] = {"default": [names.events]}
    for agent in catalog.agents.values():
        topics.setdefault(agent.pool, []).append(names.agents(agent.name))
    behind: dict[str, int] = {}
    for pool, wanted in topics.items():
        behind |= lag(settings.kafka(), names.topic(f"streams.{pool}"), wanted)
    worst = [f"{topic} by {count}" for topic, count in sorted(behind.items()) if count > MOST_BEHIND]
    return f"workers are behind: {', '.join(worst)}" if worst else None


def _model(settings: Settings) -> str | None:
    if settings.llm_base_url is None:
        return None
    key = settings.llm_api_key
    headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    url = settings.llm_base_url
    try:
        response = httpx.get(f"{url}/models", headers=headers, timeout=_ANSWER_S, trust_env=not is_loopback(url))
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:  # or a proxy that cannot be used
        return f"the model endpoint does not answer ({type(error).__name__})"
    return f"the model endpoint answers {response.status_code}" if response.status_code >= _BROKEN else None


def _dead(settings: Settings, now_ms: int) -> dict[str, str]:
    """Return a line for each consumer that gave something up lately, failed runs among them."""
    codec = codec_of(settings, Catalog())
    count: Counter[str] = Counter()
    last: dict[str, str] = {}
    topic = Names(settings.topic_prefix).dead_letters
    for record in read(settings.kafka(), topic, start=Time(now_ms - WINDOW_MS), limit=_LETTERS):
        kind = dict(record.headers).get("ce_type")
        if record.value is None or kind != DeadLettered.event_type.encode():
            continue
        try:
            letter = codec.decode(record.value, DeadLettered)
        except SchemaError:
            continue  # of a newer version: for another process to report
        count[letter.consumer] += 1
        last[letter.consumer] = letter.error
    return {f"dead/{name}": f"{number} given up, the last: {last[name][:300]}" for name, number in count.items()}
