"""What can go wrong with the embedded parts, so that every message names the way out."""

from __future__ import annotations

from streams.errors import StreamsError


class LocalError(StreamsError):
    """Raised when an embedded part (broker, model, supervised process) cannot be had on this machine."""


class DownloadError(LocalError):
    """Raised when a download is unreachable, incomplete or does not have the checksum that we expect."""


class StartError(LocalError):
    """Raised when a process that we started ended, or was not ready in time; carries the end of its log."""


class AlreadyRunningError(LocalError):
    """Raised when another process holds the state folder."""
