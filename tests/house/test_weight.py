"""Importing the public names stays light, so that tests and the command line start fast."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.files import ROOT

pytestmark = pytest.mark.house
HEAVY = (
    "faust",
    "mode",
    "confluent_kafka",
    "starlette",
    "uvicorn",
    "fastavro",
    "openai",
    "rocksdict",
    "xllamacpp",
    "jgo",
    "scipy",
    "pydantic_evals",
)


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["streams", "streams.settings", "schemas", "topics", "streams.cli.main"])
def test_import_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") & set(HEAVY) == set()


def test_import_has_no_effects(tmp_path: object) -> None:
    """A module that writes or connects when imported would do so in every process that only wants its types."""
    result = subprocess.run(
        [sys.executable, "-c", "import streams, schemas, topics, streams.settings"],
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (result.stdout, result.stderr) == ("", "")
