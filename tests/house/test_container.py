"""The image and the compose file follow the code: dependencies, settings, ports."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.house.files import ROOT

pytestmark = pytest.mark.house

_PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    return dict(_PIN.findall((ROOT / "deploy" / name).read_text("utf-8")))


def test_the_image_installs_what_the_project_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = dict(line.split("==") for line in project["project"]["dependencies"])
    installed = _pins("requirements.txt")
    assert {name: installed.get(name) for name in wanted} == wanted, "run: python -m tests.house.requirements"
    builder = dict(line.split("==") for line in project["build-system"]["requires"])
    assert builder.items() <= _pins("build-requirements.txt").items()


def test_each_requirement_has_hashes_and_no_file_names_a_host() -> None:
    for name in ("requirements.txt", "build-requirements.txt"):
        text = (ROOT / "deploy" / name).read_text("utf-8")
        entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries)
        assert "://" not in text
