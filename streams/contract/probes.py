"""Liveness, readiness, and the OpenAPI document itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streams.contract.model import ContractModel


class Liveness(ContractModel):
    """The process answers."""

    status: Literal["ok"]


class Readiness(ContractModel):
    """Whether the gateway can serve, by check."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str] = Field(description="ok, or what is missing and what to do")


class OpenApiInfo(ContractModel):
    """What the document describes."""

    title: str
    version: str
    description: str


class OpenApiDocument(ContractModel):
    """A document by OpenAPI 3.1."""

    openapi: Literal["3.1.0"]
    info: OpenApiInfo
    servers: list[dict[str, Any]] = Field(default_factory=list)
    paths: dict[str, Any]
    components: dict[str, Any]
