"""Dead letters: records and runs that were given up."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from streams.contract.model import ContractModel

DeadLetterState: TypeAlias = Literal["open", "redriven", "discarded"]


class DeadLetterSummary(ContractModel):
    """A dead letter as lists show it: the cause and the place, without the record."""

    dead_id: str
    state: DeadLetterState
    redrives: int
    consumer: str
    error_type: str
    error: str
    attempts: int
    fingerprint: str
    run_id: str | None
    source_topic: str
    source_partition: int
    source_offset: int
    key: str | None
    first_ms: int
    topic: str
    partition: int
    offset: int
    time: str | None


class DeadLetterDetail(DeadLetterSummary):
    """A dead letter with its cause and its record."""

    traceback: str
    headers: dict[str, str]
    type: str | None
    data: Any = Field(description="the record's value, null where it cannot be decoded")
    value: str | None = Field(None, description="the bytes of the value in base64")
    undecodable: str | None = Field(None, description="why the value cannot be decoded")


class DeadLetterGroup(ContractModel):
    """The dead letters of one kind of failure."""

    fingerprint: str
    count: int
    open: int
    consumer: str
    error_type: str
    error: str
    dead_id: str
    last: str | None


class DeadLetterList(ContractModel):
    """Dead letters, the newest first; `complete` is false where older ones were not looked at."""

    letters: list[DeadLetterSummary]
    complete: bool


class DeadLetterGroups(ContractModel):
    """Kinds of failures, the most frequent first; `complete` is false where older dead letters were not looked at."""

    groups: list[DeadLetterGroup]
    complete: bool


class DeadLetterChanged(ContractModel):
    """The state of a dead letter after a command."""

    dead_id: str
    state: DeadLetterState
    edited: bool = False


class RefusedRedrive(ContractModel):
    """A dead letter that cannot be redriven."""

    dead_id: str
    detail: str


class RedrivePlan(ContractModel):
    """What a redrive of many would do."""

    matching: int
    would_redrive: list[str]
    complete: bool


class RedriveAccepted(ContractModel):
    """What a redrive of many did; while `left` is not 0, repeat the request."""

    redriven: list[str]
    refused: list[RefusedRedrive]
    left: int
    complete: bool
