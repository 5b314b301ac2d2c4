"""Agents and their queues."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from streams.contract.model import ContractModel


class AgentInfo(ContractModel):
    """An agent as the code declares it, with the state of its queue."""

    name: str
    doc: str
    pool: str
    version: int
    priority: str
    concurrency: int | None
    concurrency_key: str | None
    deadline_s: float | None
    tools: list[str]
    input: dict[str, Any] | None = Field(description="the JSON schema of its input, null where there is none")
    output: dict[str, Any] | None = Field(description="the JSON schema of its result, null where there is none")
    paused: bool | None = Field(description="null while not every partition of the pool has a worker")
    queued: int | None = Field(description="null while not every partition of the pool has a worker")
    waits: str | None = Field(description="why its queue is not worked off, or not in some partitions")


class AgentList(ContractModel):
    """All agents."""

    agents: list[AgentInfo]


class AgentCommandAccepted(ContractModel):
    """A command to the queue of an agent that is on the log."""

    agent: str
    id: str
    accepted: Literal["pause", "resume"]
