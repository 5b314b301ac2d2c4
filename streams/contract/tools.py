"""Tools."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streams.contract.model import ContractModel


class ToolInfo(ContractModel):
    """A tool as the code declares it."""

    name: str
    doc: str
    version: int
    timeout_s: float | None
    approval: bool = Field(description="whether a person approves each call")
    arguments: dict[str, Any] | None
    returns: dict[str, Any] | None


class ToolList(ContractModel):
    """All tools."""

    tools: list[ToolInfo]
