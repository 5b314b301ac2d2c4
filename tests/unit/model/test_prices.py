"""What tokens cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.model.chat import Usage
from streams.model.prices import Price, Prices, PriceTableError


def test_the_longest_name_that_fits_decides() -> None:
    prices = Prices({"a": Price(1, 1, 1), "a-mini": Price(2, 2, 2)})
    assert prices.of("a-mini-2026-01-01") == Price(2, 2, 2)
    assert prices.of("a-2026") == Price(1, 1, 1)
    assert prices.of("ab") is None


def test_cached_tokens_are_not_paid_twice() -> None:
    prices = Prices({"m": Price(input=2, output=10, cached=1)})
    assert prices.priced("m", Usage(1_000_000, 100_000, 500_000)).cost_usd == pytest.approx(1 + 0.5 + 1)


def test_the_local_model_is_free_and_the_cost_of_an_unknown_one_is_unknown() -> None:
    assert Prices.load().priced("local", Usage(10, 10)).cost_usd == 0.0
    unknown = Prices.load().priced("nobody-knows", Usage(10, 10))
    assert unknown.cost_usd is None
    assert (unknown + Usage(1, 1, cost_usd=2.0)).cost_usd is None
    assert unknown.to_json()["unpriced"] == 1


def test_a_table_says_of_when_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "prices.json"
    mine.write_text('{"as_of": "2026-11-01", "models": {"m": {"input": 1, "output": 2, "cached": 0.5}}}')
    assert Prices.load(mine).of("m") == Price(1, 2, 0.5)


def test_users_edit_the_table(tmp_path: Path) -> None:
    mine = tmp_path / "prices.json"
    mine.write_text('{"local": {"input": 1, "output": 1, "cached": 1}}')
    prices = Prices.load(mine)
    assert prices.of("local") == Price(1, 1, 1)
    assert prices.of("gpt-4o") is not None
    mine.write_text('{"local": 3}')
    with pytest.raises(PriceTableError, match=r"prices\.json"):
        Prices.load(mine)


def test_the_model_that_was_asked_for_counts_where_the_answer_names_a_file() -> None:
    assert Prices.load().priced("stories.gguf", Usage(10, 10), "local").cost_usd == 0.0
