"""The image and the compose file follow the code: dependencies, settings, ports."""

from __future__ import annotations

import re
import tomllib

import pytest

from docs.generate.compose import compose
from streams.settings import Settings
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


def test_the_compose_file_passes_every_setting_on() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert compose() == text, "run `python -m docs.generate`"
    given = set(re.findall(r"^ +(STREAMS_[A-Z_]+):", text, re.MULTILINE))
    fixed = {
        "STREAMS_STATE_DIR", "STREAMS_CACHE_DIR",  # the image's own folders
        "STREAMS_SLOT", "STREAMS_WORKER_URL",  # each container has a slot and a name of its own
        "STREAMS_POOL",  # a pool is another service
        "STREAMS_WORKERS", "STREAMS_LLM_GGUF", "STREAMS_API_KEY",  # of `streams dev` and the command line
    }  # fmt: skip
    wanted = {f"STREAMS_{name.upper()}" for name in Settings.model_fields if not name.startswith("kafka_s")} - fixed
    assert wanted - given == set()
    assert given - {f"STREAMS_{name.upper()}" for name in Settings.model_fields} <= set()
