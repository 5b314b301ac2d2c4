"""W3C trace context: what is valid, and ids that stay the same."""

from __future__ import annotations

import pytest

from schemas.trace_context import TraceContext, derived, parsed, span_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_valid_header_is_read_and_written() -> None:
    context = parsed(f"00-{TRACE}-{SPAN}-00")
    assert context == TraceContext(TRACE, SPAN)
    assert context.header == f"00-{TRACE}-{SPAN}-01"
    assert parsed(f"01-{TRACE}-{SPAN}-01-more") == context, "a later version may have more"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00-a",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        "0" * 100_000,
    ],
)
def test_a_header_that_is_not_valid_is_none(header: str | None) -> None:
    assert parsed(header) is None


def test_ids_come_from_names() -> None:
    assert derived("run", "1") == derived("run", "1")
    assert derived("run", "1") != derived("run1")
    assert parsed(derived("run").header) == derived("run")
    assert derived("a").within("b", "c").span_id == span_id("b", "c")
    assert span_id("\ud800") != span_id("?"), "an id may have half a surrogate pair"
