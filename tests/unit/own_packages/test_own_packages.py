"""A user's own folders `schemas` and `topics` neither break the product nor are they lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
AGENT = """
from pydantic import BaseModel
{imports}
from streams import Run, agent

class Task(BaseModel):
    number: int

@agent
async def order(task: Task, run: Run) -> str:
    return Order.__name__ + DESK
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with packages of its own that have our names, modules of our names in them."""
    files = {
        "schemas/__init__.py": "from schemas.orders import Order\nNUMBER = 7\n",
        "schemas/orders.py": "class Order: ...\n",
        "schemas/event.py": "class Shipped: ...\n",
        "schemas/v1/__init__.py": "",
        "schemas/v1/old.py": "OLD = 1\n",
        "topics/desk.py": "DESK = 'desk'\n",
        "shop/__init__.py": "",
        "shop/agents.py": AGENT.format(imports="from schemas.orders import Order\nfrom topics.desk import DESK"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def python(project: Path, code: str, *flags: str) -> str:
    """Run code in the project's folder, which comes first on the path unless `-P` is given; return what it prints."""
    environment = {"PYTHONPATH": f"{project}:{REPOSITORY}" if "-P" not in flags else f"{REPOSITORY}:{project}"}
    run = subprocess.run(
        [sys.executable, *flags, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("flags", [(), ("-P",)])
def test_the_names_mean_ours_once_streams_is_imported(project: Path, flags: tuple[str, ...]) -> None:
    code = (
        "from streams import agent, Event, Topic\nimport schemas, topics\n"
        "print(schemas.__file__, topics.__file__, Event.__module__)"
    )
    shown = python(project, code, *flags)
    assert shown == f"{REPOSITORY}/schemas/__init__.py {REPOSITORY}/topics/__init__.py schemas.event"


def test_discovery_works_and_finds_what_imports_the_users_folders(project: Path) -> None:
    code = (
        "from streams.app import discover\nfound = discover(['shop'])\n"
        "print(sorted(found.agents), 'run.started' in found.events)"
    )
    assert python(project, code) == "['order'] True"


@pytest.mark.parametrize(
    "first", ["import streams\n", "import schemas\nimport streams\n", "import schemas.event\nimport streams\n"]
)
def test_the_users_modules_and_names_stay_importable(project: Path, first: str) -> None:
    code = first + (
        "from schemas.orders import Order\nfrom schemas import Order as Again, NUMBER, Event\n"
        "from schemas.event import Shipped, Record\nfrom schemas.v1.old import OLD\nfrom topics.desk import DESK\n"
        "from topics.names import Names\n"
        "print(Order is Again, NUMBER, Event.__module__, Shipped.__module__, OLD, DESK, Names.__name__)"
    )
    assert python(project, code) == "True 7 schemas.event schemas.event 1 desk Names"


def test_a_users_folder_that_cannot_be_imported_is_left_alone(project: Path) -> None:
    (project / "schemas" / "__init__.py").write_text("raise RuntimeError('not for you')\n")
    (project / "shop" / "agents.py").unlink()
    code = (
        "from streams.app import discover\nfrom schemas import Event, avro\n"
        "print('run.started' in discover(['shop']).events)"
    )
    assert python(project, code) == "True"


def test_a_name_that_nobody_has_is_an_import_error(project: Path) -> None:
    code = "import streams\ntry:\n    from schemas import Nothing\nexcept ImportError as error:\n    print(error.name)"
    assert python(project, code) == "schemas"


def test_streams_itself_starts_from_such_a_folder(project: Path) -> None:
    code = (
        "import runpy, sys\nsys.argv = ['streams', 'schemas', 'list', '-o', 'json']\n"
        "try:\n    runpy.run_module('streams', run_name='__main__')\nexcept SystemExit as end:\n    print(end.code)"
    )
    assert python(project, code).splitlines()[-1] == "0"
