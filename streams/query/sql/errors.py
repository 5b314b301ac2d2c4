"""Why a statement has no result."""

from __future__ import annotations

from streams.errors import StreamsError


class SqlRefusedError(StreamsError):
    """Raised for a statement that is not one SELECT over the views, or that names what does not exist."""


class SqlLimitError(StreamsError):
    """Raised when a statement takes more time, memory or bytes than it may."""


class SqlUnavailableError(StreamsError):
    """Raised when the topics cannot be read, when duckdb is not installed, or when the process does not start."""
