"""Circuit breakers of tools."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streams.contract.model import ContractModel


class BreakerInfo(ContractModel):
    """A circuit breaker as the worker that was notified last knows it."""

    tool: str
    state: str | None = Field(description="closed, open or half-open; null while no worker answers")
    since: str | None = None
    changed_by: str | None = Field(None, alias="said_by", description="the worker that gave it this state")
    forced: bool = Field(default=False, description="whether a person opened it")
    retry_after: float | None = Field(None, description="seconds until a call is tried again")


class BreakerList(ContractModel):
    """The circuit breakers of all tools that have one."""

    breakers: list[BreakerInfo]


class BreakerAccepted(ContractModel):
    """A command to a circuit breaker that is on the log."""

    tool: str
    id: str
    accepted: Literal["open", "closed"]
