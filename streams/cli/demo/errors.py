"""What makes the demo fail: something that should have been seen and was not."""

from __future__ import annotations

from streams.errors import StreamsError


class DemoError(StreamsError):
    """Raised by a step of the demo that did not show what it promises; the message says exactly what."""
