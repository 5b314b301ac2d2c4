"""Secrets of the settings are masked wherever they stand, and texts that only look like secrets by their names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from streams.engine.messages import ErrorInfo
from streams.settings import Settings
from streams.telemetry import MASK, _secrets, conceal, keep_secret, redact, redact_json

CANARY = "canary/7f3a+x"


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    settings = Settings(
        redact=(SecretStr(CANARY), SecretStr("short")),
        database_url=SecretStr("postgresql://reader:pass%2Fword9@db/name"),
        webhook_secrets={"github": (SecretStr("webhook-secret"),)},
        api_keys='{"key-of-a-client": ["read"]}',  # type: ignore[arg-type]
    )
    keep_secret(_secrets(settings))
    yield
    keep_secret(())


@pytest.mark.parametrize(
    "text",
    [
        f"at {CANARY}!",
        "?x=canary%2F7f3a%2Bx",
        "pass/word9",
        "pass%2Fword9",
        "postgresql://reader:pass%2Fword9@db/name",
        "webhook-secret",
        "key-of-a-client",
    ],
)
def test_a_known_secret_is_masked_in_any_text(text: str) -> None:
    assert MASK in redact(text)
    assert "7f3a" not in redact(text)
    assert conceal({text: [text, 1]}) != {text: [text, 1]}


@pytest.mark.parametrize("piece", ["x", "x-", "a.", "://", "://a:", "http://a:", "token ", "api_", 'secret="'])
def test_the_time_it_takes_grows_with_the_text_and_no_faster(piece: str) -> None:
    """Half a million characters of each would take hours if any part ran along the text from each of its places."""
    redact(piece * (500_000 // len(piece)))


@pytest.mark.parametrize("text", ["missing_secret: github", "Missing token: see the page", "empty-password=no value"])
def test_what_follows_the_name_of_a_secret_that_is_not_there_is_shown(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text", ["client_secret: 7f3a", "invalid token: 7f3a", "missing: no; secret: 7f3a", "secret=7f3a"]
)
def test_what_follows_the_name_of_a_secret_that_is_there_is_masked(text: str) -> None:
    assert "7f3a" not in redact(text)


def test_a_password_in_a_url_is_masked_whatever_the_scheme() -> None:
    assert redact("see postgresql+psycopg://u:pw@h/db.") == f"see postgresql+psycopg://u:{MASK}@h/db."
    assert redact("http://h:80/x@y") == "http://h:80/x@y"


def test_a_text_that_is_too_short_to_be_one_stays() -> None:
    assert redact("a short word") == "a short word"


def test_answers_lose_what_is_known_and_nothing_else() -> None:
    assert conceal({"token": "abc", "note": f"{CANARY}.", "n": [1, None]}) == {
        "token": "abc",
        "note": f"{MASK}.",
        "n": [1, None],
    }


def test_requests_lose_what_is_named_like_a_secret_too() -> None:
    assert redact_json({"headers": {"Authorization": "Bearer abc"}, "url": "http://h/?token=abc&x=1"}) == {
        "headers": {"Authorization": MASK},
        "url": f"http://h/?token={MASK}&x=1",
    }


def test_errors_are_told_without_secrets() -> None:
    try:
        raise ValueError(f"no {CANARY}")
    except ValueError as error:
        info = ErrorInfo.of(error)
    assert info.message == f"no {MASK}"
    assert "7f3a" not in info.traceback
