"""Runs: their state, lists, journals, results, and the commands to them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from streams.contract.model import ContractModel, OpenModel, PoolWithoutWorker

RunStatus: TypeAlias = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "expired"]
EntryStatus: TypeAlias = Literal[
    "submitted", "scheduled", "completed", "failed", "fired", "timed_out", "cancelled", "ended", "expired"
]


class RunUsage(OpenModel):
    """What a run has used, its children not included."""

    input_tokens: int
    output_tokens: int
    cost_usd: float
    llm_calls: int
    tool_calls: int
    recorded_hits: int = Field(description="calls whose answer came from an earlier call")


class RunError(OpenModel):
    """Why a run or an attempt failed."""

    type: str | None = None
    message: str | None = None
    reason: str | None = Field(None, description="of a cancelled run: why, as whoever cancelled it wrote")


class RunFields(ContractModel):
    """What a list and a single read both show of a run."""

    run_id: str
    agent: str
    status: RunStatus
    stage: str | None
    progress: int = Field(ge=0, le=100)
    step: str | None
    attempt: int
    input: Any
    error: RunError | None
    parent: str | None
    forked_from: str | None
    created_at: str
    updated_at: str
    progress_text: str | None = None
    next_attempt_at: str | None = None


class RunSummary(RunFields):
    """A run as lists show it."""

    usage: RunUsage | None
    reason: str | None
    endings: int = Field(description="how often the run has ended; a resumed run ends again")
    key: str | None = Field(description="its concurrency key")


class RunState(RunFields):
    """A run as it is, or as it was after an entry of its journal."""

    usage: RunUsage
    children: list[str]
    forks: list[str] = Field(default_factory=list)
    reason: str | None = Field(None, description="why it is queued, waits or ended")
    started_by: str | None = Field(None, description="the fingerprint of the API key that submitted it")
    endings: int = Field(0, description="how often the run has ended; a resumed run ends again")
    stale: bool = Field(default=False, description="true for the answer of a standby")
    topic: str | None = Field(None, description="of a stale answer: the changelog that the standby reads")
    partition: int | None = None
    offset: int | None = Field(None, description="of a stale answer: the offset up to which it is complete")


class RunPage(ContractModel):
    """Runs, the newest first."""

    runs: list[RunSummary]
    next: str | None
    incomplete: list[PoolWithoutWorker] = Field(default_factory=list)


class RunAccepted(ContractModel):
    """A run that is on the queue of its agent."""

    run_id: str
    agent: str
    status: Literal["queued"]


class RunResult(ContractModel):
    """What a run returned."""

    run_id: str
    result: Any


class RunUnfinished(ContractModel):
    """A run that has no result yet."""

    run_id: str
    status: RunStatus


class HistoryEntry(ContractModel):
    """An entry of a run's journal."""

    seq: int
    path: str
    kind: str
    name: str
    stage: str | None
    status: EntryStatus
    attempt: int
    started_at: str | None
    finished_at: str | None
    input: Any
    output: Any
    error: RunError | None
    usage: dict[str, Any] | None


class RunHistory(ContractModel):
    """A run's journal, in log order."""

    entries: list[HistoryEntry]


class RunCommandAccepted(ContractModel):
    """A command to a run that is on the log."""

    run_id: str
    id: str = Field(description="the id of the command's record")
    accepted: Literal["cancel", "resume", "signal"]


class ForkAccepted(ContractModel):
    """A fork that is on the log."""

    run_id: str = Field(description="the id of the new run")
    forked_from: str
