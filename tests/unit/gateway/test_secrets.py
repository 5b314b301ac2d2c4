"""Secrets of webhooks at the start: what cannot work, or protects nothing, is said then."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from streams.gateway.access import UnsafeBindError
from streams.gateway.secrets import check_strength, revealed


@pytest.mark.parametrize("secret", ["s", "short12"])
def test_a_secret_that_can_be_guessed_stops_the_start(secret: str) -> None:
    with pytest.raises(UnsafeBindError, match=f"{len(secret)} characters for 'github'"):
        check_strength({"github": (SecretStr("long enough, and more"), SecretStr(secret))})


def test_a_weak_secret_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    check_strength({"github": (SecretStr("eight+67"),), "slack": (SecretStr("0123456789abcdef"),)})
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_secret_for_a_source_that_is_not_there_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    revealed({"gihtub": (SecretStr("x"),), "zzz": (SecretStr("x"),)}, {"github": 1, "slack": 1})
    first, second = [record.getMessage() for record in caplog.records]
    assert "did you mean 'github'?" in first
    assert "known are github, slack" in second
