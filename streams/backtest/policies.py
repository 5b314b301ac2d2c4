"""Whence a candidate's calls are answered, and what may be spent: models and tools each have a policy of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from streams.backtest.errors import BacktestError

if TYPE_CHECKING:
    from streams.engine.decision import Perform

ModelPolicy: TypeAlias = Literal["recorded", "hybrid", "live"]
ToolPolicy: TypeAlias = Literal["recorded", "hybrid", "live", "stub"]

NOT_RECORDED = "the log has no answer to it as it is asked now"


@dataclass(frozen=True, slots=True)
class Policies:
    """`recorded` asks the log only, `hybrid` the outside for what the log lacks, `live` the outside for everything.

    With `stub`, tools and steps that the log has no answer for get that of `stubs`, by name. `allowed` names the tools
    and steps that `hybrid` may call although they may have effects outside. Steps follow the policy of the tools.
    `other_models` are roles that mean another model than the one that gave the recorded answers.
    """

    models: ModelPolicy = "recorded"
    tools: ToolPolicy = "recorded"
    allowed: frozenset[str] = frozenset()
    stubs: Mapping[str, Any] = field(default_factory=dict)
    other_models: frozenset[str] = frozenset()

    @property
    def closed(self) -> bool:
        """Whether nothing outside may be asked."""
        return self.models == "recorded" and self.tools in ("recorded", "stub")

    def refusal(self, perform: Perform) -> str | None:
        """Return why an attempt that the log has no answer for must not be made, None if it may be."""
        if perform.kind == "llm":
            return NOT_RECORDED if self.models == "recorded" else None
        if self.tools == "recorded":
            return NOT_RECORDED
        if self.tools == "stub":
            return f"{NOT_RECORDED}, and no stub answers it: give --stub {perform.name}=JSON"
        if self.tools == "live" or perform.pure or perform.name in self.allowed:
            return None
        if perform.tool is not None and perform.tool.cache is not None:  # its answers may be given without a call
            return None
        return f"{NOT_RECORDED}, and it may have effects outside: give --allow {perform.name} to let it be called"


@dataclass(slots=True)
class BudgetMeter:
    """What the calls of a backtest cost so far, in US dollars; `limit` None is no budget."""

    limit: float | None = None
    spent: float = 0.0
    calls: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be spent."""
        return self.limit is not None and self.spent >= self.limit

    def add(self, usage: Mapping[str, Any] | None) -> None:
        """Count the calls of an answer; raise BacktestError for one whose model has no price, under a budget."""
        self.calls += 1
        if usage is None:
            return
        if usage.get("cost_usd") is None and self.limit is not None:
            raise BacktestError(
                "the model has no price, so no budget can be held: add the model to STREAMS_LLM_PRICES, "
                "or leave --budget out"
            )
        self.spent += usage.get("cost_usd") or 0.0
