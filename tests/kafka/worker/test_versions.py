"""Old and new code side by side: both write and read events, rows and journals of both versions, each event once.

The user's package is written into two folders, as two deployments have it. The new one's schemas are published first,
and the old deployment gets the files, but not the code.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from schemas.avro.codec import Codec
from schemas.avro.own import FOLDER_NAME, keep
from schemas.avro.registry import FileRegistry
from schemas.event import Event
from streams import clock
from streams.app import discover
from streams.local.kafka import EmbeddedKafka
from streams.query.codec import records_of
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from topics.producer import EventProducer

NAMES = 24
EACH = 10
TEXT = '''"""Measures are added up, and each is checked by a reaction."""

from __future__ import annotations

from pydantic import BaseModel

from schemas import Event
from streams import on, table


class Measured(Event, type="measure.taken", key="name"):
    name: str
    amount: int
    {measured}


class Checked(Event, type="measure.checked", key="name"):
    name: str
    amount: int
    {checked}


class Sum(BaseModel):
    events: int = 0
    total: int = 0
    {row}


@table(of=[Measured], row=Sum)
def sums(row: Sum | None, event: Measured) -> Sum:
    before = row or Sum()
    return before.model_copy(update={{"events": before.events + 1, "total": before.total + event.amount}})


@table(of=[Checked], row=Sum)
def checks(row: Sum | None, event: Checked) -> Sum:
    before = row or Sum()
    return before.model_copy(update={{"events": before.events + 1, "total": before.total + event.amount}})


@on(Measured)
def check(event: Measured) -> Checked:
    return Checked(name=event.name, amount=event.amount{said})
'''
OLD = {"measured": "", "checked": "", "row": "", "said": ""}
NEW = {
    "measured": 'unit: str = "m"',
    "checked": 'by: str = "nobody"',
    "row": "marks: list[str] = []",
    "said": ', by="new code"',
}


@dataclass
class Deployments:
    """The two folders, a module of each, and a pipeline whose topics are there."""

    pipeline: Pipeline
    old: Path
    new: Path
    old_code: ModuleType
    new_code: ModuleType

    def codec(self, module: ModuleType, path: Path) -> Codec:
        own = [module.Measured, module.Checked, module.Sum]
        return Codec(FileRegistry(own=own, folders=[path / self.package / FOLDER_NAME]))

    @property
    def package(self) -> str:
        return self.old_code.__name__.partition(".")[0]


def deployed(folder: Path, package: str, version: dict[str, str]) -> tuple[Path, ModuleType]:
    """Write the package into a folder and return its module, under a name that only this process has."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text('"""A user\'s package."""\n')
    file = folder / package / "measures.py"
    file.write_text(TEXT.format(**version))
    spec = importlib.util.spec_from_file_location(f"{package}.measures", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # annotations are resolved there
    spec.loader.exec_module(module)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Event) and value is not Event:
            value.model_rebuild()
    return folder, module


@pytest_asyncio.fixture
async def two(kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployments]:
    package = f"theirs_{tmp_path.name.replace('-', '_')}"
    old, old_code = deployed(tmp_path / "old", package, OLD)
    kept = old / package / FOLDER_NAME
    keep([old_code.Measured, old_code.Checked, old_code.Sum], kept)
    del sys.modules[f"{package}.measures"]
    new, _ = deployed(tmp_path / "new", package, NEW)
    shutil.copytree(kept, new / package / FOLDER_NAME)
    del sys.modules[f"{package}.measures"]
    monkeypatch.syspath_prepend(str(new))
    found = discover((package,))
    keep([one for one in records_of(found) if one.__module__.startswith(package)], new / package / FOLDER_NAME)
    async with Pipeline(kafka.bootstrap, tmp_path / "pipeline", app=package) as pipeline:
        yield Deployments(pipeline, old, new, old_code, sys.modules[f"{package}.measures"])
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


async def test_old_and_new_code_work_side_by_side(two: Deployments) -> None:
    pipeline = two.pipeline
    old = pipeline.start("a", path=two.old)
    await old.ready()
    old_codec, new_codec = two.codec(two.old_code, two.old), two.codec(two.new_code, two.new)
    assert (
        old_codec.encode(two.old_code.Measured(name="n", amount=1))[:5]
        != new_codec.encode(two.new_code.Measured(name="n", amount=1))[:5]
    )
    writers = [
        (EventProducer(pipeline.kafka, old_codec, "/old", now_ms=clock.now_ms), two.old_code.Measured),
        (EventProducer(pipeline.kafka, new_codec, "/new", now_ms=clock.now_ms), two.new_code.Measured),
    ]

    async def say(turns: range) -> None:
        for turn in turns:
            for number in range(NAMES):
                writer, kind = writers[(turn + number) % 2]
                await writer.send(pipeline.names.events, kind(name=f"n{number}", amount=turn))

    shutil.copytree(two.new / two.package / FOLDER_NAME, two.old / two.package / FOLDER_NAME, dirs_exist_ok=True)
    await say(range(EACH // 2))
    new = pipeline.start("b", path=two.new)
    await new.ready()
    await pipeline.settled()  # else the old code may do it all
    await say(range(EACH // 2, EACH))
    wanted = {f"n{number}": (EACH, sum(range(EACH))) for number in range(NAMES)}

    async def complete() -> bool:
        return [await rows(pipeline, table) for table in ("sums", "checks")] == [wanted, wanted]

    await until(complete, what=lambda: [worker.words() for worker in (old, new)])
    assert await pipeline.letters() == []
    bus = await pipeline.events(pipeline.names.events)
    said = [vars(one.event)["by"] for one in bus if one.event and one.attributes.type == "measure.checked"]
    assert set(said) == {"nobody", "new code"}, "both have written"
    assert old.ended is new.ended is False
    assert await old.stop() == 0, old.words()  # all its rows go to the new code, and events go on
    await say(range(1))

    async def one_more() -> bool:
        return {count for count, _ in (await rows(pipeline, "checks")).values()} == {EACH + 1}

    await until(one_more, what=new.words)
    assert await pipeline.letters() == []
    assert await new.stop() == 0, new.words()
    for writer, _ in writers:
        await writer.close()


async def rows(pipeline: Pipeline, name: str) -> dict[str, tuple[int, int]]:
    table = pipeline.catalog.tables[name]

    def row_of(record: Any) -> tuple[str, tuple[int, int]]:
        row = pipeline.codec.decode(record.value(), table.row)
        return (record.key() or b"").decode(), (row.events, row.total)

    return dict(await pipeline.made_of(pipeline.names.table(table.name, table.version, table.pool), row_of))
