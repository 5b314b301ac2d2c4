"""`streams new project` writes a folder whose agent is found and whose test passes as they are."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from streams.cli import project
from streams.cli.scaffold import ScaffoldError
from streams.env_file import read

pytestmark = pytest.mark.unit


def test_a_new_project_is_whole_and_passes_its_test(tmp_path: Path) -> None:
    files = project.write_project("my-shop", tmp_path)
    root = tmp_path / "my-shop"
    names = {str(file.relative_to(root)) for file in files}
    assert {"pyproject.toml", ".env", "Dockerfile", "docker-compose.yml", "my_shop/summary.py"} <= names
    assert {"tests/test_summary.py", "tests/summary.json"} <= names
    wanted = tomllib.loads((root / "pyproject.toml").read_text())
    assert wanted["project"]["dependencies"][0].startswith("streams==")
    assert wanted["tool"]["uv"]["sources"]["streams"]
    settings = read(root / ".env")
    assert settings["STREAMS_APPS"] == "my_shop"
    assert settings["API_KEYS"] != settings["CLUSTER_SECRET"]
    assert "COPY my_shop /src/my_shop" in (root / "Dockerfile").read_text()
    assert "STREAMS_APPS:-my_shop" in (root / "docker-compose.yml").read_text()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout


@pytest.mark.parametrize("name", ["Shop", "1st", "a/b", "class", "json", "streams", "schemas", "tests", "pytest", ""])
def test_a_name_that_cannot_be_a_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="name"):
        project.write_project(name, tmp_path)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("x")
    with pytest.raises(ScaffoldError, match="not empty"):
        project.write_project("mine", tmp_path)


@pytest.mark.parametrize(
    ("direct", "source"),
    [
        ({"url": "file:///a%20b/streams.whl", "archive_info": {}}, 'path = "/a b/streams.whl"'),
        ({"url": "file:///src", "dir_info": {"editable": True}}, 'path = "/src", editable = true'),
        ({"url": "https://h/s.git", "vcs_info": {"commit_id": "c0"}}, 'git = "https://h/s.git", rev = "c0"'),
        ({"url": "https://h/s.whl", "archive_info": {}}, 'url = "https://h/s.whl"'),
    ],
)
def test_the_project_takes_streams_from_where_this_copy_came(
    direct: dict[str, object], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, _name: str) -> str:
            return json.dumps(direct)

    monkeypatch.setattr(project, "distribution", lambda _name: Installed())
    assert project._source() == f"\n[tool.uv.sources]\nstreams = {{ {source} }}\n"
