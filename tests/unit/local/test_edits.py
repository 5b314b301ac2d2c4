"""Which edits restart workers, and which concern the gateway."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.app import discover
from streams.local.edits import Project
from streams.local.fingerprint import fingerprint

REPOSITORY = Path(__file__).resolve().parents[3]
ORDER = """
from pydantic import BaseModel
from streams import agent

class Order(BaseModel):
    number: {kind}

@agent(concurrency={limit})
async def order(task: Order) -> str:
    return "{answer}"
"""
SOURCE = """
from streams import Delivery, hmac_sha256, source

@source(verify=hmac_sha256("x-signature"))
def desk(delivery: Delivery) -> None: ...
"""


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return what writes the modules of a package and gives the fingerprint of what they define."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)

    def write(**modules: str) -> str:
        (tmp_path / "edited").mkdir(exist_ok=True)
        for name, text in {"__init__": "", **modules}.items():
            (tmp_path / "edited" / f"{name}.py").write_text(text)
        for name in set(sys.modules) - known:
            del sys.modules[name]
        return fingerprint(discover(["edited"]))

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_the_body_of_an_agent_is_none_of_the_gateways_business(edited: Callable[..., str]) -> None:
    before = edited(orders=ORDER.format(kind="int", limit=1, answer="one"))
    assert edited(orders=ORDER.format(kind="int", limit=1, answer="two")) == before
    assert edited(orders=ORDER.format(kind="str", limit=1, answer="two")) != before
    assert edited(orders=ORDER.format(kind="int", limit=2, answer="two")) != before


def test_a_users_source_and_a_validator_run_in_the_gateway(edited: Callable[..., str]) -> None:
    before = edited(desk=SOURCE, helper="A = 1\n")
    assert edited(desk=SOURCE, helper="A = 2\n") != before
    validated = (ORDER.replace("import BaseModel", "import BaseModel, field_validator") + "    # {note}\n").replace(
        "    number: {kind}\n",
        "    number: {kind}\n\n    @field_validator('number')\n    def small(cls, v): return v\n",
    )
    first = edited(desk="", helper="", orders=validated.format(kind="int", limit=1, answer="one", note=1))
    assert edited(orders=validated.format(kind="int", limit=1, answer="one", note=2)) != first


def test_a_projects_code_is_watched_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("watched/prompts", "lib", "tests", ".venv/lib", ".streams", "node_modules"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "watched" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    project = Project(tmp_path, ["watched"])
    assert project.folders == [tmp_path / "lib", tmp_path / "watched"]
    for name in ("watched/a.py", "watched/prompts/plan.md", "lib/help.py", "helper.py", ".env"):
        assert project.is_watched(tmp_path / name), name
    for name in ("tests/test_a.py", ".venv/lib/a.py", ".streams/x.py", "lib/notes.md", "watched/__pycache__/a.pyc"):
        assert not project.is_watched(tmp_path / name), name


def test_the_product_itself_is_told_from_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    project = Project(REPOSITORY, [])
    assert project.is_product(REPOSITORY / "streams/worker/main.py")
    assert project.is_product(REPOSITORY / "schemas/event.py")
    assert not project.is_product(REPOSITORY / "streams/agents/research.py")
    assert not project.is_product(REPOSITORY / "benchmarks/runs.py")
