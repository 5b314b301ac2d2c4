"""What may be used: holds, settlements, days."""

from __future__ import annotations

import pytest

from streams.choices import Budget
from streams.limits.budget_account import BudgetAccount, BudgetAmount, BudgetHold, held
from streams.limits.budget_client import at_least
from streams.model.prices import Price

NOTHING = BudgetAmount()


def test_calls_under_way_count_as_used() -> None:
    account = BudgetAccount()
    account.used = BudgetAmount(calls=3)
    budget = Budget(calls=5)
    assert account.refusal("agent:a", budget, BudgetAmount(calls=1), BudgetAmount(calls=1)) is None
    why = account.refusal("agent:a", budget, BudgetAmount(calls=2), BudgetAmount(calls=1))
    assert why is not None
    assert "agent:a" in why
    assert "streams budgets set agent:a" in why


@pytest.mark.parametrize(
    ("budget", "wanted", "fits"),
    [
        (Budget(tokens=100), BudgetAmount(tokens=100), True),
        (Budget(tokens=100), BudgetAmount(tokens=101), False),
        (Budget(usd=0.5), BudgetAmount(usd=0.6), False),
        (Budget(tokens=0), NOTHING, False),
        (Budget(), BudgetAmount(10**9, 1e9, 10**9), True),
    ],
)
def test_what_is_needed_at_least_must_be_left(budget: Budget, wanted: BudgetAmount, fits: bool) -> None:
    assert (BudgetAccount().refusal("run:r", budget, NOTHING, wanted) is None) is fits


def test_a_person_s_word_goes_before_the_code_s() -> None:
    account = BudgetAccount()
    account.given = Budget(calls=1)
    assert account.refusal("run:r", Budget(), BudgetAmount(calls=1), BudgetAmount(calls=1)) is not None


def test_a_new_day_begins_with_nothing_used_and_an_old_one_does_not_come_back() -> None:
    account = BudgetAccount()
    account.turn("2026-11-27")
    account.used, account.alerted = BudgetAmount(calls=5), "spent"
    account.turn("2026-11-26")
    assert account.used.calls == 5
    account.turn("2026-11-28")
    assert (account.used, account.alerted, account.day) == (NOTHING, "", "2026-11-28")


def test_a_row_holds_all_of_it() -> None:
    account = BudgetAccount()
    account.given, account.used, account.day = Budget(usd=2.5), BudgetAmount(1, 0.25, 3), "2026-11-27"
    account.alerted, account.at_ms = "spent", 7
    again = BudgetAccount.read(account.row())
    assert [getattr(again, name) for name in BudgetAccount.__slots__] == [
        getattr(account, name) for name in BudgetAccount.__slots__
    ]
    assert BudgetAccount.read(None).used == NOTHING


def test_a_hold_is_forgotten_after_its_time() -> None:
    holds = {"a": BudgetHold(BudgetAmount(calls=1), 10.0), "b": BudgetHold(BudgetAmount(calls=1), 20.0)}
    assert held(holds, 15.0).calls == 1
    assert list(holds) == ["b"]


def test_a_call_needs_its_prompt_and_the_answer_that_it_asks_for() -> None:
    given = {"prompt": "x" * 400, "args": ["y" * 400], "params": {"max_tokens": 100}}
    assert at_least(given, Price(input=1.0, output=10.0, cached=0.5)) == BudgetAmount(300, (200 + 1000) / 1e6, 1)
    assert at_least({"prompt": "x" * 4}, None) == BudgetAmount(1, 0.0, 1)
