"""Topics and their records."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streams.contract.model import ContractModel


class TopicInfo(ContractModel):
    """A topic as it is declared, with the partitions that it has on the cluster."""

    name: str
    description: str
    kind: str
    key: str
    cleanup: str
    retention_ms: int | None
    partitions: int = Field(description="0: it does not exist on the cluster")
    events: list[str]


class TopicList(ContractModel):
    """All topics of the pipeline."""

    topics: list[TopicInfo]


class TopicRecord(ContractModel):
    """A record of a topic, decoded."""

    topic: str
    partition: int
    offset: int
    time: str | None
    key: str | None
    id: str | None
    type: str | None
    source: str | None
    data: Any
    headers: dict[str, str] = Field(default_factory=dict, description="attributes beside those of CloudEvents")
    foreign: str | None = Field(None, description="why the record is no CloudEvent")
    undecodable: str | None = Field(None, description="why the value cannot be decoded")
    bytes: str | None = Field(None, description="the value in base64, where it cannot be decoded")


class TopicPage(ContractModel):
    """Records of a topic, the oldest first within a partition."""

    events: list[TopicRecord]
