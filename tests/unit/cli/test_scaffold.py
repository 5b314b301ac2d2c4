"""What `streams new` writes works as it is: it is discovered, its tests pass, and its example is accepted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.scaffold import PLURALS, Place, ScaffoldError, place, write

pytestmark = pytest.mark.unit


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a user's empty package in the current folder."""
    folder = tmp_path / "scaffolded"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A user\'s package."""\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "scaffolded"


def test_everything_new_passes_its_own_tests(package: str, tmp_path: Path) -> None:
    for kind in PLURALS:
        write(kind, f"my_{kind}", place(kind, package, tmp_path))
    for kind, name in (("reaction", "event"), ("table", "first"), ("tool", "answer"), ("agent", "test_it")):
        write(kind, name, place(kind, package, tmp_path))
    code = f"from streams.app import discover, names; print(names(discover(['{package}'])))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert all(f"my_{kind}" in found.stdout for kind in PLURALS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


def test_nothing_is_overwritten(package: str, tmp_path: Path) -> None:
    where = place("agent", package, tmp_path)
    write("agent", "one", where)
    with pytest.raises(ScaffoldError, match="exists"):
        write("agent", "one", where)


@pytest.mark.parametrize("name", ["Upper", "with-dash", "class", "1st", "../up"])
def test_a_name_must_be_a_functions(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="no name"):
        write("agent", name, Place(tmp_path, "p", tmp_path))


def test_a_package_may_have_a_folder_for_each_kind(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "agents").mkdir()
    assert place("agent", package, tmp_path).package == f"{package}.agents"
    assert place("tool", package, tmp_path).package == package


def test_without_a_package_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="STREAMS_APPS"):
        place("agent", None, tmp_path)


def test_an_unknown_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="nowhere"):
        place("agent", "nowhere.at.all", tmp_path)
