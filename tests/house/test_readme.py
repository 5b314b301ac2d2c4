"""No command, setting, metric or file is documented that does not exist."""

from __future__ import annotations

import re
import shlex
from typing import Final

import pytest
from typer.main import get_command

from docs.generate.metrics import declared, series
from streams.cli.main import app
from streams.settings import Settings
from tests.docs.pages import FILES, every, name_of, prose, text_of
from tests.house.files import ROOT

pytestmark = pytest.mark.house

PAGES: Final = {name_of(path): text_of(path) for path in FILES}
SPANS: Final = [(name_of(path), span) for path in FILES for span in re.findall(r"`([^`\n]+)`", prose(path))]
WRITTEN: Final = {(block.page, block.title) for block in every("python")}  # files that a reader of the page makes
SERIES: Final = ("", "_bucket", "_sum", "_count")


def commands() -> list[tuple[str, list[str]]]:
    """Return page and the words after `streams` of every command that stands in the text of a page.

    Those of code blocks are read by `tests/docs/test_shell.py`.
    """
    found = []
    for page, text in SPANS:
        match = re.match(r"(?:\S+=\S+ )*(?:\$ )?(?:uv run )?streams ([a-z].*)", text)
        if match:
            found.append((page, shlex.split(match.group(1).split(" #")[0].split(" | ")[0], posix=True)))
    return found


@pytest.mark.parametrize(("page", "words"), commands(), ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_every_command_exists(page: str, words: list[str]) -> None:
    command = get_command(app)
    for word in words:
        inside = getattr(command, "commands", None)
        if inside is None:
            break
        for name in word.split("|"):
            assert name in inside, f"{page}: `streams {' '.join(words)}`: there is no {name}"
        command = inside[word.split("|")[0]]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert used <= options | {"--help", "--debug"}, page


def test_the_pages_have_commands() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_exists(page: str) -> None:
    known = {f"STREAMS_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bSTREAMS_[A-Z_]+[A-Z]\b", PAGES[page]))
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_exists(page: str) -> None:
    known = {f"{series(one)}{suffix}" for one in declared() for suffix in SERIES}
    named = set(re.findall(r"\bstreams_[a-z_]+[a-z]\b", PAGES[page]))
    assert named - known == set()


def test_every_path_exists() -> None:
    paths = {
        (page, span)
        for page, span in SPANS
        if re.fullmatch(r"(?:streams|topics|schemas|tests|deploy|benchmarks|docs)/[\w/.-]*", span)
        and (page, span) not in WRITTEN
    }
    assert [one for one in sorted(paths) if not (ROOT / one[1]).exists()] == []


def test_the_readme_says_how_to_run_the_tests() -> None:
    assert "uv run pytest" in PAGES["README.md"]
