"""What tokens cost, in a table that users edit, so that budgets and reports are in money.

The table that ships is as it was on the day that it names, and only you update it: STREAMS_LLM_PRICES names a
file of the same form, whose models win. A model that no table has is counted, and its cost is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from streams.model.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.model.chat import Usage

SHIPPED = Path(__file__).with_name("prices.json")
PER = 1_000_000  # prices are quoted for a million tokens


class PriceTableError(ModelError):
    """Raised by `Prices.load` when a price table is not a JSON object of model to input, output and cached prices."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; `cached` are input tokens that the provider had seen before."""

    input: float
    output: float
    cached: float


class Prices:
    """Prices by model; a name covers its dated versions (`gpt-4o` covers `gpt-4o-2024-08-06`), the longest wins."""

    def __init__(self, table: Mapping[str, Price]) -> None:
        self._table = dict(sorted(table.items(), key=lambda item: -len(item[0])))
        self._found: dict[str, Price | None] = {}  # by the name that an answer gives: there are few

    @classmethod
    def load(cls, *paths: Path) -> Prices:
        """Read the shipped table and then `paths`, later ones first in rank; PriceTableError names the bad file."""
        table: dict[str, Price] = {}
        for path in (SHIPPED, *paths):
            try:
                found = orjson.loads(path.read_bytes())
                table |= {model: Price(**price) for model, price in found.get("models", found).items()}
            except (OSError, ValueError, TypeError, AttributeError) as error:
                shape = '{"as_of": "2026-01-31", "models": {"name": {"input": 1.0, "output": 4.0, "cached": 0.5}}}'
                raise PriceTableError(f"{path}: expected {shape}, in US dollars ({error})") from error
        return cls(table)

    def of(self, model: str) -> Price | None:
        """Return the price of a model, or None if the table has none."""
        if model not in self._found:
            covers = (
                name for name in self._table if model == name or model.startswith(tuple(f"{name}{c}" for c in "-:@"))
            )
            name = next(covers, None)
            self._found[model] = None if name is None else self._table[name]
        return self._found[model]

    def priced(self, model: str, usage: Usage, asked: str | None = None) -> Usage:
        """Return `usage` with its cost in US dollars, or None where the model has no price.

        Where the name that the answer gives is not in the table, the name that was `asked` for counts: servers of local
        models answer with the name of a file.
        """
        price = self.of(model) or (None if asked is None else self.of(asked))
        if price is None:
            return replace(usage, cost_usd=None)
        fresh = max(usage.input_tokens - usage.cached_tokens, 0)
        dollars = fresh * price.input + usage.cached_tokens * price.cached + usage.output_tokens * price.output
        return replace(usage, cost_usd=dollars / PER)
