"""What can be wrong with a backtest, as opposed to what a backtest finds out."""

from __future__ import annotations

from streams.errors import StreamsError


class BacktestError(StreamsError):
    """Raised for a backtest that cannot begin or go on: a candidate that is none, a model without a price."""


class ExpressionError(StreamsError):
    """Raised for the text of a gate or of a choice of runs that is no expression over the names that there are."""
