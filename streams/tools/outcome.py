"""What an HTTP status means for another attempt, in the same words for every tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.define.pauses import retry_after
from streams.tools.errors import FetchBusyError, FetchError, FetchRefusedError

if TYPE_CHECKING:
    from streams.tools.exchange import Fetched


def require_success(answer: Fetched) -> None:
    """Raise FetchBusyError (429, 503), FetchError (other 5xx) or FetchRefusedError (4xx)."""
    text = f"{answer.url} answered HTTP {answer.status}."
    if answer.status in {429, 503}:
        raise FetchBusyError(text, after=retry_after(answer.headers))
    if answer.status >= 500:
        raise FetchError(text)
    if answer.status >= 400:
        raise FetchRefusedError(text)
