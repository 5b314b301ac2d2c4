"""What is logged: a user's own lines from the chosen level on, libraries' from WARNING on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from streams.settings import Settings
from streams.telemetry import configure


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(("name", "shown"), [("mycompany.agents", True), ("__main__", True), ("httpx", False)])
def test_a_users_own_lines_are_shown(name: str, *, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings())
    logging.getLogger(name).info("seen %d pages", 3)
    logging.getLogger(name).warning("careful")
    printed = capsys.readouterr().err
    assert ("seen 3 pages" in printed) is shown
    assert "careful" in printed


def test_the_level_is_that_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_level="ERROR"))
    logging.getLogger("mycompany").warning("careful")
    assert capsys.readouterr().err == ""
