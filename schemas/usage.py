"""What models were paid for, and the events for the homes of budgets."""

from schemas.event import Event


class UsageCounted(Event, type="usage.counted", key="row"):
    """Model calls of one attempt were answered; ``row`` is where they are added up: ``agent/day`` or ``agent/key/day``.

    ``cost_usd`` is null when a model has no price, and ``unpriced`` counts such attempts; ``day`` is a date in UTC.
    """

    row: str
    agent: str
    key: str | None = None
    day: str
    run_id: str
    calls: int
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    unpriced: int = 0


class BudgetSpent(Event, type="budget.spent", key="scope"):
    """Something of a budget was used; ``hold`` is the reservation that this settles, ``day`` empty for a whole life."""

    scope: str
    hold: str
    day: str = ""
    tokens: int = 0
    usd: float = 0.0
    calls: int = 0


class BudgetChanged(Event, type="budget.changed", key="scope"):
    """Somebody gave a scope another budget; without any limit, what its agent's code says counts again.

    A scope is ``run:<id>``, ``agent:<name>`` or ``key:<agent>/<value>``.
    """

    scope: str
    request_id: str
    tokens: int | None = None
    usd: float | None = None
    calls: int | None = None
