"""What each agent has used on each day, and each value of its concurrency key: tokens, model calls, money."""

from __future__ import annotations

from pydantic import BaseModel

from schemas import Event
from schemas.usage import UsageCounted
from streams import table


class Used(BaseModel):
    """The sums of one day (UTC) of an agent, or of one `key` of it; `cost_usd` is of calls whose price is known."""

    agent: str
    key: str | None = None
    day: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0


@table(of=[UsageCounted], row=Used)
def usage(row: Used | None, event: Event) -> Used | None:
    """Add what was used."""
    if not isinstance(event, UsageCounted):
        return row
    before = row or Used(agent=event.agent, key=event.key, day=event.day)
    return before.model_copy(
        update={
            "calls": before.calls + event.calls,
            "input_tokens": before.input_tokens + event.input_tokens,
            "output_tokens": before.output_tokens + event.output_tokens,
            "cached_tokens": before.cached_tokens + event.cached_tokens,
            "cost_usd": before.cost_usd + (event.cost_usd or 0.0),
            "unpriced": before.unpriced + event.unpriced,
        }
    )
