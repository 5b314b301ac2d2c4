"""What an endpoint says of its limits, and how many calls go at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import format_datetime

import pytest

from streams import clock
from streams.define.pauses import retry_after
from streams.model.errors import ModelBusyError
from streams.model.pace import RequestPace, span


@asynccontextmanager
async def turn(pace: RequestPace) -> AsyncIterator[None]:
    await pace.enter()
    try:
        yield
    finally:
        pace.leave()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("7", 7), ("soon", None), ("", None)],
)
def test_spans_are_read_as_openai_writes_them(text: str, seconds: float | None) -> None:
    assert span(text) == (pytest.approx(seconds) if seconds is not None else None)


def test_a_date_is_a_pause_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: 1_800_000_000_000)
    later = format_datetime(clock.from_ms(clock.now_ms() + 90_000), usegmt=True)
    assert retry_after({"retry-after": later}) == pytest.approx(90)
    assert retry_after({"retry-after": "x"}) is None
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5


NONSENSE = ["inf", "-inf", "nan", "1e300", "-5", "9" * 400, "0x10", "\u00b2", "1_000", "Mon, 99 Foo 2026", "1" * 8_000]


@pytest.mark.parametrize("text", NONSENSE)
async def test_a_pause_that_is_no_number_is_unknown_and_holds_up_nobody(text: str) -> None:
    """Each of these once broke every later call of the worker, or the call itself."""
    pace = RequestPace()
    for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"):
        assert pace.observe({name: text, "x-ratelimit-remaining-tokens": "0"}, refused=True) is None
    async with turn(pace):
        pass


@pytest.mark.parametrize("text", ["999999999", "Fri, 01 Jan 9999 00:00:00 GMT", "999999999h"])
def test_a_pause_is_at_most_a_day(text: str) -> None:
    headers = {"retry-after": text, "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": text}
    assert RequestPace().observe(headers, refused=True) == 86_400


async def test_a_pause_holds_for_all_calls_of_the_endpoint() -> None:
    pace = RequestPace()
    began = clock.monotonic()  # before the pause is heard of: it counts from there
    assert pace.observe({"retry-after": "0.05"}, refused=True) == 0.05

    async def call() -> float:
        async with turn(pace):
            return clock.monotonic() - began

    assert min(await asyncio.gather(*(call() for _ in range(3)))) >= 0.05


async def test_a_long_pause_is_an_error_that_says_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)
    pace = RequestPace()
    pace.observe({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, refused=False)
    with pytest.raises(ModelBusyError) as raised:
        async with turn(pace):
            pass
    assert raised.value.after == pytest.approx(360)


def test_what_is_left_is_no_pause() -> None:
    headers = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s", "retry-after": "9"}
    assert RequestPace().observe(headers, refused=False) is None


async def test_no_more_go_at_once_than_were_allowed() -> None:
    pace, now, most = RequestPace(2), 0, 0

    async def call() -> None:
        nonlocal now, most
        async with turn(pace):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(call() for _ in range(9)))
    assert most == 2
