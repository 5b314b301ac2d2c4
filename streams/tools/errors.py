"""How tools fail, split by whether trying again can help."""

from __future__ import annotations

from streams.define.policies import Reject, Retry
from streams.errors import StreamsError


class ToolError(StreamsError):
    """Base of what the tools that ship raise; trying again may help."""


class ToolTimeoutError(ToolError, TimeoutError):
    """Raised by `call_tool` when the tool's time is over and it did not end softly with a result."""


class InvalidArgumentsError(ToolError, Reject):
    """Raised by `call_tool` when arguments do not fit the tool's signature; the message names each field."""


class UnrecordableResultError(ToolError, Reject):
    """Raised by `call_tool` for a result that no record can hold: the call was made, and another gives no better one.

    The message shows how the result begins.
    """


class FetchError(ToolError):
    """Raised when a host does not answer, answers too slowly or with a server error; trying again may help."""


class FetchBusyError(FetchError, Retry):
    """Raised when a server asks for a pause (HTTP 429 and 503); `after` is in seconds, or unknown."""


class FetchRefusedError(ToolError, Reject):
    """Raised when a URL must not be fetched, or has nothing for us: the same request will not succeed later."""


class QueryRefusedError(ToolError, Reject):
    """Raised when a database statement is not allowed, or not valid."""


class LimitExceededError(ToolError, Reject):
    """Raised when what came from outside takes more time or memory to read than it may: it will again."""
