"""A table with many rows, which are written to its changelog by the benchmark."""

from __future__ import annotations

from pydantic import BaseModel

from schemas import Event
from streams import table


class CustomerSeen(Event, type="bench.customer_seen", key="name"):
    """A customer bought something."""

    name: str


class Customer(BaseModel):
    """A row of some hundred bytes."""

    name: str
    orders: int = 0
    note: str = "somebody who buys now and then, mostly on Fridays"


@table(of=[CustomerSeen], row=Customer)
def customers(row: Customer | None, event: CustomerSeen) -> Customer:
    """Count an order."""
    return Customer(name=event.name, orders=(row.orders if row else 0) + 1)
