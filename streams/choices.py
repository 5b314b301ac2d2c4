"""Settings that have an inside, as people write them in JSON."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ModelRole(BaseModel):
    """A model behind a name of its own; what is unset is as the `LLM_` settings have it.

    `timeout` is seconds for one request, `concurrency` calls under way at once in one worker (0: any number),
    `fallback` the roles that are asked, in order, when this one does not answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str | None = None
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
        """Say whether there is any limit."""
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
