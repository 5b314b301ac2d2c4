"""What who watches a run is told by its owner: the view, what came since, and what models say just now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.routing import Route

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.run import RunSubmitted
from streams import agent
from streams.engine.decision import Decision
from streams.engine.machine import Machine
from streams.engine.messages import Submit
from streams.journal.journal_store import JournalStore
from streams.journal.store_keys import LEDGER
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.worker.http import runs
from streams.worker.http.app import _not_owner, _not_ready
from streams.worker.http.ownership_check import NotOwnerError, NotReadyError, OwnershipCheck
from streams.worker.http.runs import RunPages
from streams.worker.runs.token_buffer import TokenBuffer
from topics.partition import partition_of

PARTITIONS = 4
HOME = partition_of(b"r-1", PARTITIONS)
FAR = next(f"r-{number}" for number in range(2, 99) if partition_of(b"r-%d" % number, PARTITIONS) != HOME)


@agent
async def work(task: dict[str, Any]) -> None:
    """Work."""


class Owner:
    """A worker that owns one partition, with one run."""

    def __init__(self, folder: Path) -> None:
        self.journal = JournalStore(Codec(FileRegistry()))
        self.owned = PartitionAssignment(HOME, {})
        db = self.owned.db = PartitionDatabase(folder / "0", StoreOptions())
        self.owned.stores = {LEDGER: PartitionStore(db, LEDGER, "t.journal", HOME)}
        self.owned.ready = True
        self.tokens = TokenBuffer()
        opened = asyncio.Event()
        opened.set()
        runtime: Any = SimpleNamespace(
            opened=opened,
            assignments={HOME: self.owned},
            partitions=PARTITIONS,
            committer=SimpleNamespace(proven=lambda: True),
        )
        self.pages = pages = RunPages(
            OwnershipCheck(runtime), self.journal, cast("Any", self), self.tokens, lambda agent, _key: f"{agent} rests"
        )
        app = Starlette(
            routes=[
                Route("/runs/{id}", pages.show),
                Route("/runs/{id}/news", pages.news),
                Route("/spoken", pages.tokens, methods=["POST"]),
            ],
            exception_handlers={NotOwnerError: _not_owner, NotReadyError: _not_ready},
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker")
        self.machine = Machine(work, "r-1", now_ms=1_000, agents={"work": work})
        self.commit(self.machine.handle(Submit(RunSubmitted(run_id="r-1", agent="work", input={"task": {}})), 1_000))

    async def has(self, _owned: PartitionAssignment, _key: bytes) -> bool:
        """Be the rest of the queues, which is empty."""
        return False

    def commit(self, decision: Decision) -> None:
        unit = CommitUnit(self.owned)
        for entry in decision.entries:
            self.journal.write(unit, entry)
        assert self.owned.db is not None
        self.owned.db.apply(unit.writes, [])
        unit.settle()

    def append(self, path: str, kind: str, name: str = "", **fields: Any) -> None:
        journal = self.machine.journal
        journal.decision, journal.now_ms = Decision(), journal.view.updated_ms + 10
        journal.append(path, kind, name, **fields)
        self.commit(journal.decision)

    async def news(self, after: int, said: int = -1) -> Any:
        answer = await self.client.get(f"/runs/r-1/news?after={after}&said={said}&peek=1")
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest_asyncio.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    made = Owner(tmp_path)
    yield made
    await made.client.aclose()
    made.owned.close()


async def test_what_came_behind_an_entry_is_told_with_the_view(owner: Owner) -> None:
    first = await owner.news(0)
    assert (first["view"]["status"], [entry["seq"] for entry in first["entries"]]) == ("queued", [1])
    owner.append("~started", "started")
    owner.append("1", "step", "look", status="completed", output=3, attempt=1)
    later = await owner.news(1)
    assert (later["view"]["status"], [entry["seq"] for entry in later["entries"]]) == ("running", [2, 3])
    assert later["entries"][1]["output"] == 3
    assert (await owner.news(3))["entries"] == []
    owner.append("~end/1", "end", "succeeded")
    assert (await owner.news(3))["view"]["status"] == "succeeded"


async def test_an_entry_that_is_written_over_is_told_again(owner: Owner) -> None:
    owner.append("1", "step", "look", status="scheduled", attempt=1)
    assert [entry["seq"] for entry in (await owner.news(1))["entries"]] == [2]
    owner.append("1", "step", "look", status="completed", output=3, attempt=2)
    assert [(entry["seq"], entry["status"]) for entry in (await owner.news(2))["entries"]] == [(3, "completed")]


async def test_what_models_say_is_told_once_they_are_listened_to(owner: Owner) -> None:
    asked = {"runs": {"r-1": -1, FAR: -1}}
    assert (await owner.client.post("/spoken", json=asked)).json() == {"runs": {}}
    with owner.tokens.call("r-1", "1") as tell, owner.tokens.call(FAR, "1") as far:
        assert tell is not None
        assert far is not None
        far("another worker's run")
        tell("Hel")
        told = (await owner.client.post("/spoken", json=asked)).json()["runs"]
        assert list(told) == ["r-1"]
        [piece] = told["r-1"]
        assert (piece["path"], piece["text"]) == ("1", "Hel")
        tell("lo")
        assert [one["text"] for one in (await owner.news(1, piece["number"]))["pieces"]] == ["lo"]
    owner.append("~end/1", "end", "succeeded")
    assert (await owner.news(1))["pieces"] == []


async def test_an_unknown_run_is_404_and_anothers_421(owner: Owner) -> None:
    unknown = next(f"u-{number}" for number in range(99) if partition_of(b"u-%d" % number, PARTITIONS) == HOME)
    assert (await owner.client.get(f"/runs/{unknown}/news?peek=1")).status_code == 404
    assert (await owner.client.get(f"/runs/{FAR}/news?peek=1")).status_code == 421


async def test_a_run_that_is_on_its_queue_is_never_404(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the worker takes to get there, and also when it loses the partition meanwhile."""
    unknown = next(f"u-{number}" for number in range(99) if partition_of(b"u-%d" % number, PARTITIONS) == HOME)
    monkeypatch.setattr(runs, "_PATIENCE_S", 0.01)
    there = [True, True, True, False, False]  # at each look at the queue

    async def look(*_: object) -> bool:
        return there.pop(0)

    monkeypatch.setattr(owner, "has", look)
    assert (await owner.client.get(f"/runs/{unknown}")).status_code == 503
    assert (await owner.client.get(f"/runs/{unknown}")).status_code == 404, "it was passed meanwhile, and is no run"
    assert (await owner.client.get(f"/runs/{unknown}")).status_code == 404

    async def gone(*_: object) -> bool:
        owner.owned.kill()
        return True

    monkeypatch.setattr(owner, "has", gone)
    assert (await owner.client.get(f"/runs/{unknown}")).status_code == 503


async def test_a_queued_run_says_why_it_has_not_begun(owner: Owner) -> None:
    assert (await owner.client.get("/runs/r-1")).json()["reason"] == "work rests"
    assert (await owner.news(0))["view"]["reason"] == "work rests"
