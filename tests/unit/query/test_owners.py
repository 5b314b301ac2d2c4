"""Asking owners while partitions move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from schemas.worker import WorkerHeartbeat
from streams.clock import now_ms
from streams.query.owners import Owners, OwnerUnavailableError


def beat(worker: str, *partitions: int) -> WorkerHeartbeat:
    return WorkerHeartbeat(
        worker_id=worker,
        pool="default",
        url=f"http://{worker}",
        pid=1,
        host="h",
        started_ms=0,
        at_ms=now_ms(),
        state="running",
        partitions=list(partitions),
    )


def owners(answer: Callable[[httpx.Request], httpx.Response], patience: float = 2.0) -> Owners:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Owners(lambda: 1, client, patience)


async def test_the_owner_is_asked_and_its_answer_returned_unread() -> None:
    found = owners(lambda request: httpx.Response(409, content=request.url.raw_path, headers={"retry-after": "7"}))
    found.take("a", beat("a", 0))
    assert await found.ask("default", "key", "/owner/runs/a%2Fb") == (409, b"/owner/runs/a%2Fb", "7")


async def test_a_question_waits_for_the_first_owner() -> None:
    found = owners(lambda _: httpx.Response(200, content=b"late"))
    question = asyncio.create_task(found.ask("default", "key", "/x"))
    await asyncio.sleep(0)
    found.take("a", beat("a", 0))
    assert (await question).body == b"late"


@pytest.mark.parametrize("status", [421, 503])
async def test_an_owner_that_lost_the_key_is_asked_again_elsewhere(status: int) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "a":
            found.take("a", beat("a"))
            found.take("b", beat("b", 0))
            return httpx.Response(status)
        return httpx.Response(200, content=b"here")

    found = owners(answer)
    found.take("a", beat("a", 0))
    assert (await found.ask("default", "key", "/x")).body == b"here"
    assert asked == ["a", "b"]


async def test_a_dead_owner_is_unavailable_after_the_patience() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    found = owners(answer, patience=0.0)
    found.take("a", beat("a", 0))
    with pytest.raises(OwnerUnavailableError, match="does not answer"):
        await found.ask("default", "key", "/x")
    with pytest.raises(OwnerUnavailableError):
        await found.ask_all("default", "/x")


async def test_no_worker_at_all_is_unavailable() -> None:
    found = owners(lambda _: httpx.Response(200), patience=0.0)
    with pytest.raises(OwnerUnavailableError, match="No worker"):
        await found.ask("default", "key", "/x")
    with pytest.raises(OwnerUnavailableError):
        await found.ask_all("default", "/x")


async def test_lists_need_every_worker() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503 if request.url.host == broken else 200, content=b"{}")

    broken = ""
    found = owners(answer, patience=0.0)
    found.take("b", beat("b"))
    with pytest.raises(OwnerUnavailableError, match="Not every"):
        await found.ask_all("default", "/x")
    found.take("a", beat("a", 0))
    assert len(await found.ask_all("default", "/x")) == 2
    broken = "b"
    with pytest.raises(OwnerUnavailableError, match="Not every"):
        await found.ask_all("default", "/x")


async def test_an_owner_that_says_nothing_is_waited_for_no_longer_than_the_patience() -> None:
    async def silent(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = httpx.AsyncClient(transport=httpx.MockTransport(silent))
    found = Owners(lambda: 1, client, 0.05)
    found.take("a", beat("a", 0))
    with pytest.raises(OwnerUnavailableError):
        await found.ask("default", "key", "/x")
    with pytest.raises(OwnerUnavailableError):
        await found.ask_all("default", "/x")
