"""No command, setting or file is documented that does not exist."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.main import get_command

from streams.cli.main import app
from streams.settings import Settings
from tests.house.files import ROOT
from tests.house.settings_table import table

pytestmark = pytest.mark.house

README = (ROOT / "README.md").read_text("utf-8")
SPANS = re.findall(r"`([^`\n]+)`", README)
BLOCKS = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [line.strip() for block in BLOCKS for line in block.splitlines()]


def commands() -> list[list[str]]:
    """Return the words after `streams` of every command in the README."""
    found = []
    for text in [*LINES, *SPANS]:
        match = re.match(r"(?:\S+=\S+ )*(?:\$ )?(?:uv run )?streams ([a-z].*)", text)
        if match:
            found.append(shlex.split(match.group(1).split(" #")[0].split(" | ")[0], posix=True))
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_exists(words: list[str]) -> None:
    command = get_command(app)
    for word in words:
        inside = getattr(command, "commands", None)
        if inside is None:
            break
        for name in word.split("|"):
            assert name in inside, f"`streams {' '.join(words)}`: there is no {name}"
        command = inside[word.split("|")[0]]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert used <= options | {"--help", "--debug"}


def test_the_readme_has_commands() -> None:
    assert len(commands()) > 5


def test_every_setting_exists() -> None:
    known = {f"STREAMS_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bSTREAMS_[A-Z_]+[A-Z]\b", README))
    assert named - known == set()


def test_the_table_of_settings_is_up_to_date() -> None:
    assert table() in README, "run: python -m tests.house.settings_table"


def test_every_path_exists() -> None:
    paths = {
        span for span in SPANS if re.fullmatch(r"(?:streams|topics|schemas|tests|deploy|benchmarks)/[\w/.-]*", span)
    }
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
