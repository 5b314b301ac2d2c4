"""What `streams doctor` looks at: each check asks one part and never raises."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Literal, NamedTuple

import httpx
from pydantic import BaseModel

from schemas.errors import SchemaError
from streams.choices import is_loopback
from streams.cli.log import DeploymentLog, open_log
from streams.cli.pipeline import gateway_url, settings_here
from streams.errors import StreamsError
from topics.errors import TopicError

TIMEOUT = 5.0
"""Seconds that a part has to answer."""


class CheckResult(NamedTuple):
    """What a check found: ok, warn (works, with a remark) or fail; `detail` says what to do."""

    state: Literal["ok", "warn", "fail"]
    detail: str


class ProxyError(StreamsError):
    """Raised when the environment names proxies that the HTTP client cannot use."""


Check = Callable[[], CheckResult]


def _calm(check: Check) -> Check:
    """Turn what a check raises into a finding: one broken part must not hide the others."""

    @wraps(check)
    def calm() -> CheckResult:
        try:
            return check()
        except (StreamsError, TopicError, SchemaError) as error:
            return CheckResult("fail", " ".join(str(error).split()))
        except (httpx.HTTPError, OSError) as error:
            return CheckResult("fail", f"{type(error).__name__}: {' '.join(str(error).split())}")

    return calm


@lru_cache(maxsize=1)
def _log() -> DeploymentLog:
    return open_log()


def _settings() -> CheckResult:
    return CheckResult("ok", f"read; state in {settings_here().state_dir}")


def _state() -> CheckResult:
    folder = settings_here().state_dir.resolve()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return CheckResult("fail", f"{existing} cannot be written: change its rights, or set STREAMS_STATE_DIR.")
    return CheckResult("ok", f"{folder} {'exists' if folder.exists() else 'will be made'} and can be written")


def _code() -> CheckResult:
    catalog = _log().catalog
    parts = ("agents", "tools", "reactions", "sources", "schedules", "tables")
    return CheckResult("ok", ", ".join(f"{len(getattr(catalog, part))} {part}" for part in parts))


def _broker() -> CheckResult:
    from topics.admin import topic_names

    kafka = _log().kafka
    return CheckResult("ok", f"{kafka.bootstrap_servers} answers, {len(topic_names(kafka, timeout=TIMEOUT))} topics")


def _topics() -> CheckResult:
    from topics.admin import describe, plan

    log = _log()
    wanted = log.topics()
    current = describe(log.kafka, [topic.name for topic in wanted], timeout=TIMEOUT)
    changes = plan(
        current, wanted, partitions=log.settings.partitions, replication_factor=log.settings.replication_factor
    )
    if changes.empty:
        return CheckResult("ok", f"all {len(wanted)} are as declared")
    summary = changes.render().splitlines()[-1]
    return CheckResult(
        "fail" if changes.create or changes.refused else "warn", f"{summary}: see `streams topics plan`."
    )


def _schemas() -> CheckResult:
    from schemas.avro.published_schemas import check
    from schemas.catalogue import PLAIN_RECORDS, events

    models: list[type[BaseModel]] = [*events().values(), *PLAIN_RECORDS]
    problems = check(models)
    if problems:
        return CheckResult("fail", f"{len(problems)} problems, the first: {problems[0]}")
    return CheckResult("ok", f"{len(models)} are published and compatible")


def _registry() -> CheckResult:
    settings = settings_here()
    if settings.schema_registry_url is None:
        return CheckResult("ok", "none is set: ids come from the committed files")
    password = settings.schema_registry_password
    user = settings.schema_registry_username
    auth = (user, password.get_secret_value()) if user and password else None
    answer = _got(f"{settings.schema_registry_url.rstrip('/')}/subjects", auth=auth)
    return CheckResult("ok", f"answers with {len(answer.json())} subjects")


def _model() -> CheckResult:
    settings = settings_here()
    key = settings.llm_api_key
    if settings.llm_base_url is None:
        if key is None:
            return CheckResult("warn", "none runs: `streams dev` starts the local one; or set OPENAI_API_KEY.")
        return CheckResult("ok", "OpenAI, by its key (not asked: it costs)")
    headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    _got(f"{settings.llm_base_url}/models", headers=headers)
    return CheckResult("ok", f"{settings.llm_base_url} answers")


def _got(url: str, **options: Any) -> httpx.Response:
    """Return the answer of a part; what is served on this machine is asked without a proxy, as everywhere else."""
    try:
        answer = httpx.get(url, timeout=TIMEOUT, trust_env=not is_loopback(url), **options)
    except (httpx.InvalidURL, ImportError, ValueError) as error:
        raise ProxyError(
            f"The proxies of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) cannot be used: {error} "
            "Correct or unset them."
        ) from error
    answer.raise_for_status()
    return answer


def _gateway() -> CheckResult:
    url = gateway_url(settings_here())
    try:
        answer = httpx.get(f"{url}/readyz", timeout=TIMEOUT, trust_env=False)
    except httpx.TransportError:
        return CheckResult("warn", f"none answers at {url}: start a pipeline with `streams dev`.")
    if answer.status_code != 200:
        return CheckResult("fail", f"{url} is not ready: {' '.join(answer.text.split())[:200]}")
    return CheckResult("ok", f"{url} is ready")


def _workers() -> CheckResult:
    url = gateway_url(settings_here())
    try:
        answer = httpx.get(f"{url}/readyz", timeout=TIMEOUT, trust_env=False)
        lacking = answer.json().get("checks", {}).get("workers")
    except (httpx.TransportError, ValueError):
        return CheckResult("warn", f"not known: no gateway answers at {url}.")
    if lacking not in (None, "ok"):
        return CheckResult("fail", f"{lacking}.")
    return CheckResult("ok", "the pools that have work have live workers")


CHECKS: dict[str, Check] = {
    "settings": _calm(_settings),
    "state": _calm(_state),
    "code": _calm(_code),
    "broker": _calm(_broker),
    "topics": _calm(_topics),
    "schemas": _calm(_schemas),
    "registry": _calm(_registry),
    "model": _calm(_model),
    "gateway": _calm(_gateway),
    "workers": _calm(_workers),
}
