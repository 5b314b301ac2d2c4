"""Budgets of runs, agents and concurrency keys."""

from __future__ import annotations

from pydantic import Field

from streams.contract.model import ContractModel


class BudgetUse(ContractModel):
    """Tokens in and out, US dollars and calls that were used or are reserved."""

    tokens: int
    usd: float
    calls: int


class BudgetLimits(ContractModel):
    """What may be used; null is no limit."""

    tokens: int | None
    usd: float | None
    calls: int | None


class BudgetInfo(ContractModel):
    """The account of a scope."""

    scope: str
    pool: str
    declared: BudgetLimits | None = Field(description="what the code or STREAMS_BUDGETS gives")
    given: BudgetLimits | None = Field(description="what a person gave instead")
    used: BudgetUse | None = Field(description="null: nothing was used, or no worker answers")
    under_way: BudgetUse | None = Field(None, description="reserved by calls under way")
    day: str | None = None
    spent: str | None = Field(None, description="why calls wait, null while they do not")
    updated_at: str | None = None


class BudgetList(ContractModel):
    """The accounts that the workers which answer keep."""

    budgets: list[BudgetInfo]


class BudgetAccepted(ContractModel):
    """Another budget that is on the log."""

    scope: str
    id: str
    accepted: BudgetLimits
