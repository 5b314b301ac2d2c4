"""No shell block of the documentation is started; every line of it is checked.

`streams …` is read by the parser of the command line itself, with its types and required arguments. Each `STREAMS_`
variable is read by the settings. A `curl` must fit an operation of the gateway's OpenAPI document. Of other programs
the words are checked that the functions below name; a program that none of them knows is an error.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import pytest
from typer.main import get_command

from docs.generate.http import served
from streams.cli.main import app
from streams.gateway.openapi import document
from streams.settings import Settings
from tests.docs.pages import Block, every
from tests.house.files import ROOT

SHELL: Final = every("sh", "bash", "console")
GROUPS: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
OPERATORS: Final = {"|", "&&", "||", ";"}


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_line_of_a_shell_block_is_a_command_that_exists(block: Block) -> None:
    for line in lines(block.text):
        check_line(line)


def test_there_are_shell_blocks() -> None:
    assert len(SHELL) > 30


@pytest.mark.parametrize(
    "line",
    [
        "streams runs shwo ID",
        "streams runs show",
        "streams runs list --limit many",
        "streams dev --reste",
        "STREAMS_PARTITIONS=many streams dev",
        "export STREAMS_NOTHING=1",
        "curl localhost:8000/nothing",
        "curl -d '{' localhost:8000/runs",
        "unknown --program",
    ],
)
def test_a_wrong_line_is_found(line: str) -> None:
    with pytest.raises(AssertionError):
        check_line(line)


def lines(text: str) -> list[str]:
    """Return the lines of a block, continued ones joined, without comments and empty ones."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.removeprefix("$ ") for line in map(str.strip, joined.splitlines()) if line and line[0] != "#"]


def commands(line: str) -> list[list[str]]:
    """Return the words of each command of a line: those of a pipe or a list are apart."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):  # a substitution is a command of its own
        line = line.replace(f"$({inner})", "SUBSTITUTED") + f" ; {inner}"
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in OPERATORS:
            found.append([])
        elif word != "&":
            found[-1].append(word)
    return [words for words in found if words]


def check_line(line: str) -> None:
    """Check each command of a line."""
    for words in commands(line):
        check(words, line)


def check(words: list[str], line: str) -> None:
    """Raise AssertionError for a command that does not exist or cannot be read."""
    while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0], re.DOTALL):
        setting(words.pop(0))
    if not words:
        return
    if words[:2] == ["uv", "run"]:
        words = words[2:]
        if words[:1] == ["--only-group"]:
            assert words[1] in GROUPS, f"{line!r}: pyproject.toml has no such dependency group"
            words = words[2:]
    assert words[0] in PROGRAMS, f"{line!r}: say in tests/docs/test_shell.py how {words[0]!r} is checked"
    PROGRAMS[words[0]](words[1:])


def setting(text: str) -> None:
    """Read an assignment as the settings do."""
    name, _, value = text.partition("=")
    if not name.startswith("STREAMS_"):
        return
    field = name.removeprefix("STREAMS_").lower()
    assert field in Settings.model_fields, f"there is no setting {name}"
    if "$" not in value:
        read_setting(field, value)


def read_setting(field: str, value: str) -> None:
    """Raise AssertionError for a value that the setting does not take."""
    try:
        Settings.model_validate({field: value})
    except ValueError as error:
        raise AssertionError(f"{field}={value!r}: {error}") from error


def export(words: list[str]) -> None:
    """Read each assignment."""
    for word in words:
        setting(word)


def streams(words: list[str]) -> None:
    """Let the command line's own parser read the words, and start nothing."""
    command = command_line()
    rest = list(words)
    context = None
    name = "streams"
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            if not hasattr(command, "commands"):
                return
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    except Exception as error:
        if type(error).__name__ == "Exit" and "--help" in words:
            return
        raise AssertionError(f"streams {shlex.join(words)}: {getattr(error, 'message', error)}") from error


def curl(words: list[str]) -> None:
    """Find the request among the operations of the OpenAPI document."""
    method, url, body = "GET", "", None
    rest = iter(words)
    for word in rest:
        if word in ("-d", "--data", "--data-binary"):
            method, body = "POST", next(rest)
        elif word in ("-X", "--request"):
            method = next(rest)
        elif word in ("-H", "--header"):
            assert ":" in next(rest)
        elif not word.startswith("-"):
            url = word
    path = urlsplit(url if "://" in url else f"http://{url}").path or "/"
    served = [found for found, methods in paths().items() if _fits(found, path) and method.lower() in methods]
    assert served, f"the gateway serves no {method} {path}"
    if body is not None and not body.startswith(("$", "@")):
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise AssertionError(f"{body!r} is not JSON: {error}") from error


@lru_cache
def paths() -> dict[str, Any]:
    """Return the paths of the OpenAPI document with their operations."""
    return dict(document(served(), "1", None)["paths"])


@lru_cache
def command_line() -> Any:
    """Return the command line's parser, built once."""
    return get_command(app)


def _fits(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern)), path) is not None


def pytest_(words: list[str]) -> None:
    """Check that files, folders and markers exist."""
    markers = re.findall(r'^  "(\w+):', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m":
            assert set(re.findall(r"\w+", word)) - {"not", "and", "or"} <= set(markers), word
        elif word.startswith("tests/"):
            assert (ROOT / word.partition("::")[0]).exists(), word


def module(words: list[str]) -> None:
    """Check that `python -m MODULE` names a module of the repository."""
    if words[:1] == ["-m"] and words[1] != "pip":
        path = ROOT / words[1].replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), words[1]


def one_of(*known: str) -> Callable[[list[str]], None]:
    """Check the first word of a program that others maintain."""

    def first(words: list[str]) -> None:
        assert words, f"one of {known} is missing"
        assert words[0] in known, words

    return first


def anything(_: list[str]) -> None:
    """Take any words: the program is the shell's own."""


PROGRAMS: Final[dict[str, Callable[[list[str]], None]]] = {
    "streams": streams,
    "curl": curl,
    "export": export,
    "pytest": pytest_,
    "python": module,
    "uv": one_of("sync", "add", "init", "tool"),
    "pip": one_of("install"),
    "git": one_of("clone", "switch"),
    "docker": one_of("compose", "build"),
    "kafka-acls": anything,
    "kafka-transactions.sh": one_of("--bootstrap-server"),
    "ruff": one_of("check", "format"),
    "zensical": one_of("build", "serve"),
    "mypy": anything,
    "lint-imports": anything,
    "openssl": one_of("dgst", "rand"),
    "cut": anything,
    "printf": anything,
    "echo": anything,
    "cd": anything,
    "mkdir": anything,
    "kill": anything,
}
"""What checks each program that the documentation names."""
