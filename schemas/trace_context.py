"""W3C trace context of records: which trace something belongs to, and which span it comes from.

Ids are derived from names that stay the same when work is repeated (a run and a path of its journal, an event's id), so
a crash or a replay never makes a second span of one thing. Source of the format: https://www.w3.org/TR/trace-context/.
"""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

_HEADER: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


class TraceContext(NamedTuple):
    """A trace (32 hexadecimal digits) and a span in it (16)."""

    trace_id: str
    span_id: str

    @property
    def header(self) -> str:
        """Return the value of the header `traceparent`, marked as sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def within(self, *names: str) -> "TraceContext":
        """Return the span of this trace that has these names."""
        return TraceContext(self.trace_id, span_id(*names))


def parsed(header: str | None) -> TraceContext | None:
    """Return what a `traceparent` says; None for none and for one that is not valid, as the standard asks."""
    found = None if header is None else _HEADER.fullmatch(header.strip())
    if found is None:
        return None
    version, trace, span, _, more = found.groups()
    if version == "ff" or (version == "00" and more) or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return TraceContext(trace, span)


def derived(*names: str) -> TraceContext:
    """Return the trace that begins with what has these names."""
    return TraceContext(blake2b(_joined(names), digest_size=16, person=b"trace").hexdigest(), span_id(*names))


def span_id(*names: str) -> str:
    """Return the id of the span of what has these names."""
    return blake2b(_joined(names), digest_size=8, person=b"span").hexdigest()


def _joined(names: tuple[str, ...]) -> bytes:
    return "\x1f".join(names).encode("utf-8", "surrogatepass")
