"""Rows as their owner tells them: what has moved, is cut off or is not applied yet is refused, never told as fresh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Route

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.bus import NewDataArrived
from streams import table
from streams.query.wire import PARTITIONS
from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.worker.events.table_folds import TableFolds, store_name
from streams.worker.http import tables as module
from streams.worker.http.app import _not_owner, _not_ready
from streams.worker.http.ownership_check import NotOwnerError, NotReadyError, OwnershipCheck
from streams.worker.http.tables import TablePages
from topics.names import Names
from topics.partition import partition_of

COUNT = 4


class Row(BaseModel):
    count: int = 0


@table(of=[NewDataArrived], row=Row)
def counts(row: Row | None, event: Event) -> Row | None:
    """Count."""
    return row


class Worker:
    """A worker that owns what the test gives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._codec = Codec(FileRegistry(own=[Row]))
        folds = TableFolds([counts], Names(), self._codec)
        self.proven = True
        self.assignments: dict[int, PartitionAssignment] = {}
        opened = asyncio.Event()
        opened.set()
        committer = SimpleNamespace(proven=lambda: self.proven)
        runtime = SimpleNamespace(opened=opened, assignments=self.assignments, partitions=COUNT, committer=committer)
        pages = TablePages(OwnershipCheck(cast("Any", runtime)), folds, "events")
        app = Starlette(
            routes=[Route("/{name}", pages.scan), Route("/{name}/{key:path}", pages.row)],
            exception_handlers={NotOwnerError: _not_owner, NotReadyError: _not_ready},
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker")

    def take(self, number: int, applied: int, **rows: int) -> PartitionAssignment:
        """Own a partition, restored up to an offset, with these rows."""
        owned = PartitionAssignment(number, {"events": SourcePartition("events")})
        owned.sources["events"].applied = applied
        owned.db = PartitionDatabase(self._folder / str(number), StoreOptions())
        name = store_name(counts)
        owned.stores = {name: PartitionStore(owned.db, name, "t.counts", number)}
        owned.ready = True
        self.assignments[number] = owned
        self.write(owned, **rows)
        return owned

    def write(self, owned: PartitionAssignment, **rows: int) -> None:
        store = owned.stores[store_name(counts)]
        store.db.apply([(store, key.encode(), self._codec.encode(Row(count=value))) for key, value in rows.items()], [])

    def lose(self, owned: PartitionAssignment) -> None:
        owned.kill()
        del self.assignments[owned.partition]
        owned.close()

    async def count(self, key: str, query: str = "") -> tuple[int, Any]:
        """Return the status and the count, or what the problem says."""
        answer = await self.client.get(f"/counts/{key}{query}")
        body = answer.json()
        return answer.status_code, body["value"]["count"] if answer.is_success else body["detail"]


@pytest_asyncio.fixture
async def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr(module, "_PATIENCE_S", 60.0)  # who waits here is let go by what it waits for
    made = Worker(tmp_path)
    yield made
    for owned in list(made.assignments.values()):
        made.lose(owned)
    await made.client.aclose()


async def waiting(owned: PartitionAssignment, count: int) -> None:
    """Let others run until so many wait."""
    while len(owned.sources["events"]._waiting) < count:
        await turn()


async def turn() -> None:
    await asyncio.sleep(0)


HOME = partition_of(b"a", COUNT)


async def test_a_row_comes_with_the_offset_that_its_partition_has_applied(worker: Worker) -> None:
    worker.take(HOME, 8, a=3)
    answer = (await worker.client.get("/counts/a")).json()
    assert answer == {"key": "a", "value": {"count": 3}, "topic": "events", "partition": HOME, "offset": 7}
    assert await worker.count("a", "?consistency=offset:7") == (200, 3)


async def test_who_lost_the_partition_says_nothing_of_it(worker: Worker) -> None:
    worker.lose(worker.take(HOME, 8, a=3))
    assert await worker.count("a") == (421, "another worker owns this key")


async def test_who_restores_or_drains_the_partition_is_not_ready(worker: Worker) -> None:
    worker.take(HOME, 8, a=3).ready = False
    status, detail = await worker.count("a")
    assert (status, detail) == (503, "this partition is being restored")


async def test_an_owner_that_was_cut_off_or_stopped_tells_no_row_until_the_broker_has_accepted_it_again(
    worker: Worker,
) -> None:
    """It may have been replaced meanwhile, and its rows be old."""
    worker.take(HOME, 8, a=3)
    worker.proven = False
    assert await worker.count("a") == (503, "this worker has not reached the broker lately")
    assert (await worker.client.get("/counts")).status_code == 503
    worker.proven = True
    assert await worker.count("a") == (200, 3)


async def test_a_read_with_an_offset_waits_until_it_is_applied(worker: Worker) -> None:
    owned = worker.take(HOME, 8, a=3)
    asked = [asyncio.create_task(worker.count("a", f"?consistency=offset:{offset}")) for offset in (10, 8, 9)]
    await waiting(owned, len(asked))
    worker.write(owned, a=4)
    owned.sources["events"].advance(9)
    assert await asked[1] == (200, 4)
    assert not asked[0].done()
    assert not asked[2].done()
    worker.write(owned, a=6)
    owned.sources["events"].advance(11)
    assert await asked[0] == await asked[2] == (200, 6)
    assert owned.sources["events"]._waiting == []


async def test_an_offset_that_does_not_come_is_told_after_the_patience(worker: Worker, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    worker.take(HOME, 8, a=3)
    assert await worker.count("a", "?consistency=offset:8") == (503, "offset 8 of events is not applied yet")
    status, detail = await worker.count("a", "?consistency=offset:1&topic=signals")
    assert status == 422
    assert "nothing here is made of signals" in detail


async def test_who_waits_for_an_offset_is_let_go_when_the_partition_moves(worker: Worker) -> None:
    """The gateway then asks the new owner, which has at least what the old one had."""
    owned = worker.take(HOME, 8, a=3)
    asked = asyncio.create_task(worker.count("a", "?consistency=offset:8"))
    await waiting(owned, 1)
    worker.lose(owned)
    assert await asked == (503, "offset 8 of events is not applied yet")
    worker.take(HOME, 9, a=4)
    assert await worker.count("a", "?consistency=offset:8") == (200, 4)


async def test_a_row_is_not_told_that_was_applied_while_the_partition_went(worker: Worker) -> None:
    owned = worker.take(HOME, 8, a=3)
    asked = asyncio.create_task(worker.count("a", "?consistency=offset:8"))
    await waiting(owned, 1)
    owned.sources["events"].advance(9)
    worker.proven = False
    assert await asked == (503, "this worker has not reached the broker lately")


async def test_a_scan_names_the_partitions_it_speaks_for(worker: Worker) -> None:
    worker.take(0, 1, b=1, d=2)
    worker.take(2, 1, a=1, c=1, e=1)
    answer = await worker.client.get("/counts?limit=4")
    assert answer.headers[PARTITIONS] == "0,2"
    assert [row["key"] for row in answer.json()["rows"]] == ["a", "b", "c", "d"]
    assert answer.json()["next"] == "more"
    rest = (await worker.client.get("/counts?limit=4&cursor=d")).json()
    assert ([row["key"] for row in rest["rows"]], rest["next"]) == (["e"], None)


async def test_who_owns_nothing_speaks_for_nothing(worker: Worker) -> None:
    answer = await worker.client.get("/counts")
    assert (answer.json()["rows"], answer.headers[PARTITIONS]) == ([], "")
