"""Settings that have an inside, as people write them in JSON."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

CALLED = "/chat/completions"  # what is put behind an endpoint's URL, and often copied with it


def endpoint(text: str) -> str:
    """Return the base URL of an OpenAI-compatible endpoint without what is put behind it; ValueError if it is none."""
    url = text.strip().rstrip("/").removesuffix(CALLED).rstrip("/")
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError("it must begin with http:// or https://, for example http://127.0.0.1:8080/v1")
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("it must hold no user and no password: the key belongs into STREAMS_LLM_API_KEY")
    if not parts.hostname:
        raise ValueError("it names no host, for example http://127.0.0.1:8080/v1")
    if parts.query or parts.fragment:
        raise ValueError("it must end before ? and #, for example http://127.0.0.1:8080/v1")
    _ = parts.port  # a ValueError that says what is wrong with it
    return url


Endpoint = Annotated[str, AfterValidator(endpoint)]
"""The base URL of a model endpoint."""


def is_loopback(url: str) -> bool:
    """Return whether a URL leads to this machine: no proxy does."""
    host = (urlsplit(url).hostname or "").removesuffix(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind_host(text: str) -> str:
    """Return the host that a server binds: a name or an address, without the brackets that IPv6 has in a URL.

    Raises ValueError for a URL and for a host with a port.
    """
    host = text.strip()
    if "://" in host:
        raise ValueError("it must be an address or a name, not a URL, for example 127.0.0.1 or ::1")
    inside = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return str(ipaddress.ip_address(inside))
    except ValueError:
        if ":" in host or "[" in host or "/" in host:
            message = "it must be an address or a name without a port, for example 127.0.0.1 or ::1"
            raise ValueError(message) from None
    return host


BindHost = Annotated[str, AfterValidator(bind_host)]
"""The address that a server of ours binds."""


class ModelRole(BaseModel):
    """A model behind a name of its own; what is unset is as the `LLM_` settings have it.

    `timeout` is seconds for one request, `concurrency` calls under way at once in one worker (0: any number),
    `fallback` the roles that are asked, in order, when this one does not answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Endpoint | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    timeout: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=0)
    fallback: tuple[str, ...] = ()


class Budget(BaseModel):
    """What may be used: tokens in and out, US dollars, calls of models and tools; None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(None, ge=0)
    usd: float | None = Field(None, ge=0, allow_inf_nan=False)
    calls: int | None = Field(None, ge=0)

    def __bool__(self) -> bool:
        """Return whether there is any limit."""
        return any(one is not None for one in (self.tokens, self.usd, self.calls))


def objects(value: object) -> object:
    """Accept the JSON text of an object of objects, for example `{"fast": {"model": "small"}}`."""
    decoded = value
    if isinstance(value, str):
        try:
            decoded = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(decoded, dict):
        raise ValueError("it must be a JSON object of objects")  # noqa: TRY004 - pydantic reports ValueError only
    return decoded


def budget_kinds(value: object) -> object:
    """Accept budgets of runs, agents and keys."""
    decoded = objects(value)
    unknown = set(decoded) - {"run", "agent", "key"} if isinstance(decoded, dict) else set()
    if unknown:
        raise ValueError(f"there are budgets for run, agent and key, not for {', '.join(map(str, sorted(unknown)))}")
    return decoded


def revealed(value: BaseModel) -> dict[str, Any]:
    """Return what a child process reads back as `value`, secrets included."""
    fields = ((name, getattr(value, name)) for name in type(value).model_fields)
    plain = {name: item.get_secret_value() if isinstance(item, SecretStr) else item for name, item in fields}
    return {name: item for name, item in plain.items() if item is not None}
