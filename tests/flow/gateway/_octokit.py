"""GitHub's own examples of its deliveries, from the npm package that its SDK is tested with; fetched once a machine."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from streams.settings import cache_home

PACKAGE = "@octokit/webhooks-examples"
VERSION = "7.6.1"
SHA256 = "89e6cb1c6345d32e3dd775617fa54effbdc26c859e514898d7728e95e9738280"
COUNT = 329

_ARCHIVE = f"octokit-webhooks-examples-{VERSION}.tgz"
_INDEX = "package/api.github.com/index.json"
_PATIENCE_S = 120


class Example(NamedTuple):
    """One delivery: the event's name as GitHub's header has it, and its payload."""

    name: str
    payload: dict[str, Any]


def examples() -> list[Example]:
    """Return all examples; skips the test where npm, with which they are fetched, is absent or offline."""
    archive = cache_home() / "octokit" / _ARCHIVE
    if not _is_there(archive):
        _fetch(archive)
    with tarfile.open(archive) as found:
        index = found.extractfile(_INDEX)
        assert index is not None
        events = orjson.loads(index.read())
    return [Example(event["name"], payload) for event in events for payload in event["examples"]]


def _is_there(archive: Path) -> bool:
    return archive.exists() and hashlib.sha256(archive.read_bytes()).hexdigest() == SHA256


def _fetch(archive: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm is absent: install Node.js to test with the {COUNT} examples of {PACKAGE} {VERSION}")
    archive.parent.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(archive.parent)]
    done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False, text=True, cwd=archive.parent)
    if done.returncode != 0:
        pytest.skip(f"npm cannot fetch {PACKAGE} {VERSION}: {done.stderr.strip()[-200:]}")
    assert _is_there(archive), f"{archive.name} is not the file that was published"
