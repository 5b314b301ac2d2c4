"""Which lock a run needs: by the value of a field of its input, as the agent would see it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from streams import agent
from streams.define.agents import Agent
from streams.errors import DefinitionError
from streams.worker.runs.key_gate import lock_of


class Order(BaseModel):
    customer: str | None = "house"
    region: dict[str, int] | None = None


@agent(concurrency_key="customer")
async def pay(order: Order) -> str:
    """Pay."""
    return "paid"


@agent(concurrency_key="region")
async def ship(order: Order) -> str:
    """Ship."""
    return "shipped"


@agent
async def free(order: Order) -> str:
    """Need no lock."""
    return "free"


def test_equal_values_are_one_lock_and_a_default_counts_as_sent() -> None:
    assert lock_of(pay, {"customer": "a"}) == lock_of(pay, {"customer": "a", "region": {"x": 1}})
    assert lock_of(pay, {"customer": "a"}) != lock_of(pay, {"customer": "b"})
    assert lock_of(pay, {}) == lock_of(pay, {"customer": "house"})
    assert lock_of(ship, {"region": {"x": 1, "y": 2}}) == lock_of(ship, {"region": {"y": 2, "x": 1}})


def test_agents_do_not_share_locks_and_a_name_leads_back_to_its_agent() -> None:
    assert str(lock_of(pay, {"customer": "a/b"})).split("/")[0] == "pay"
    assert lock_of(pay, {}) != lock_of(ship, {"region": {}})


@pytest.mark.parametrize("given", [(free, {}), (pay, {"customer": None}), (ship, {}), (pay, {"customer": 7}), (pay, 3)])
def test_no_key_a_null_or_an_input_that_does_not_fit_need_none(given: tuple[Agent[Any, Any], Any]) -> None:
    assert lock_of(*given) is None


def test_a_key_that_is_no_field_of_the_input_is_refused_where_it_is_written() -> None:
    with pytest.raises(DefinitionError, match="must be a field"):

        @agent(concurrency_key="custmer")
        async def typo(order: Order) -> str:
            return "no"

    with pytest.raises(DefinitionError, match="must be a field"):

        @agent(concurrency_key="customer")
        async def nothing() -> str:
            return "no"
