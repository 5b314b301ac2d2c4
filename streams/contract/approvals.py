"""Approvals: what runs ask people, and the answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streams.contract.model import ContractModel


class OpenApproval(ContractModel):
    """A question of a run that nobody has answered."""

    token: str
    what: str
    parameters: Any
    asked_at: str | None
    until: str | None = Field(description="null: for as long as the run lives")
    path: str


class RunApproval(OpenApproval):
    """An open question with the run that asks it."""

    run_id: str
    agent: str
    started_by: str | None


class RunApprovals(ContractModel):
    """The open questions of a run, the oldest first."""

    approvals: list[OpenApproval]


class ApprovalPage(ContractModel):
    """The open questions of all runs, by run, the newest run first."""

    approvals: list[RunApproval]
    next: str | None


class ApprovalAccepted(ContractModel):
    """An answer to a question that is on the log."""

    run_id: str
    id: str
    accepted: Literal["approve", "reject"]
    what: str
    parameters: Any
