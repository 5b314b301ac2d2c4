"""Errors in the shape of RFC 9457."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streams.contract.model import ContractModel


class FieldError(ContractModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class ProblemDocument(ContractModel):
    """An error. `type` is stable; `detail` says what to change."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default_factory=list)
    run_id: str | None = None
    agent: str | None = None
    event_type: str | None = None
    dead_id: str | None = None
    state: str | None = Field(None, description="the state of the dead letter")
    status_of_run: str | None = None
    failed_path: str | None = Field(None, description="the path of the step that failed")
    error: dict[str, Any] | None = Field(None, description="why the run failed")
    scope: str | None = Field(None, description="the scope that the API key lacks")
    pool: str | None = Field(None, description="the pool without a live worker")
