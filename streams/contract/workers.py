"""Workers."""

from __future__ import annotations

from pydantic import Field

from streams.contract.model import ContractModel


class WorkerInfo(ContractModel):
    """A worker by its last heartbeat."""

    worker_id: str
    pool: str
    url: str
    slot: str
    pid: int
    host: str
    started_ms: int
    at_ms: int
    state: str = Field(description="lost: it beats no more")
    partitions: list[int]
    running: int = Field(description="runs in memory")
    version: str
    standbys: list[int] = Field(description="partitions of other workers of which it keeps a copy")
    agents: list[str] | None
    alive: bool
    silent_s: float


class WorkerList(ContractModel):
    """The workers of the last minutes."""

    workers: list[WorkerInfo]
