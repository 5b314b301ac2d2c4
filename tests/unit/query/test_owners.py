"""Asking owners while partitions move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from schemas.worker import WorkerHeartbeat
from streams.clock import now_ms
from streams.query.owners import Owners, OwnerUnavailableError
from streams.query.wire import WorkerResponse


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


@dataclass
class Workers:
    """Answers as workers do; `answer` is told who is asked and the path."""

    answer: Callable[[str, str], WorkerResponse | None]

    async def get(self, url: str, seconds: float) -> WorkerResponse | None:
        host, _, path = url.removeprefix("http://").partition("/")
        return self.answer(host, "/" + path)

    async def post(self, url: str, body: bytes, seconds: float) -> WorkerResponse | None:
        return await self.get(f"{url}={body.decode()}", seconds)


class Silent:
    """A worker that is connected to and says nothing."""

    async def get(self, url: str, seconds: float) -> WorkerResponse | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()
        return None

    async def post(self, url: str, body: bytes, seconds: float) -> WorkerResponse | None:
        return await self.get(url, seconds)


def owners(answer: Callable[[str, str], WorkerResponse | None], patience: float = 60.0, partitions: int = 1) -> Owners:
    return Owners(lambda: partitions, Workers(answer), patience)


async def test_the_owner_is_asked_and_its_answer_returned_unread() -> None:
    found = owners(lambda _, path: WorkerResponse(409, path.encode(), "7"))
    found.take("a", beat("a", 0))
    assert await found.ask("default", "key", "/owner/runs/a%2Fb") == (409, b"/owner/runs/a%2Fb", "7", None)


async def test_a_question_waits_for_the_first_owner() -> None:
    found = owners(lambda _, __: WorkerResponse(200, b"late"))
    question = asyncio.create_task(found.ask("default", "key", "/x"))
    await asyncio.sleep(0)
    found.take("a", beat("a", 0))
    assert (await question).body == b"late"


@pytest.mark.parametrize("status", [421, 503])
async def test_an_owner_that_lost_the_key_is_asked_again_elsewhere(status: int) -> None:
    asked: list[str] = []

    def answer(host: str, _: str) -> WorkerResponse:
        asked.append(host)
        if host == "a":
            found.take("a", beat("a"))
            found.take("b", beat("b", 0))
            return WorkerResponse(status, b"")
        return WorkerResponse(200, b"here")

    found = owners(answer)
    found.take("a", beat("a", 0))
    assert (await found.ask("default", "key", "/x")).body == b"here"
    assert asked == ["a", "b"]


async def test_a_dead_owner_is_unavailable_after_the_patience() -> None:
    found = owners(lambda _, __: None, patience=0.0)
    found.take("a", beat("a", 0))
    with pytest.raises(OwnerUnavailableError, match="does not answer"):
        await found.ask("default", "key", "/x")
    with pytest.raises(OwnerUnavailableError):
        await found.ask_all("default", "/x")


async def test_why_an_owner_could_not_answer_is_told() -> None:
    """An offset that lies in the future is no silence of the owner."""
    said = b'{"detail": "offset 7 of events is not applied yet"}'
    answers = [WorkerResponse(503, said), None]
    found = owners(lambda _, __: answers.pop(0) if answers else None, patience=0.0)
    found.take("a", beat("a", 0))
    with pytest.raises(OwnerUnavailableError, match="offset 7 of events is not applied yet; ask again"):
        await found.ask("default", "key", "/x")
    answers[:] = [WorkerResponse(503, b"<html>")]
    with pytest.raises(OwnerUnavailableError, match="does not answer"):
        await found.ask("default", "key", "/x")


async def test_no_worker_at_all_is_unavailable() -> None:
    found = owners(lambda _, __: WorkerResponse(200, b""), patience=0.0)
    with pytest.raises(OwnerUnavailableError, match="No worker"):
        await found.ask("default", "key", "/x")
    with pytest.raises(OwnerUnavailableError):
        await found.ask_all("default", "/x")


async def test_lists_need_every_worker() -> None:
    broken = ""
    found = owners(lambda host, _: WorkerResponse(503 if host == broken else 200, b"{}"), patience=0.0)
    found.take("b", beat("b"))
    with pytest.raises(OwnerUnavailableError, match="Not every"):
        await found.ask_all("default", "/x")
    found.take("a", beat("a", 0))
    assert len(await found.ask_all("default", "/x")) == 2
    broken = "b"
    with pytest.raises(OwnerUnavailableError, match="Not every"):
        await found.ask_all("default", "/x")


@pytest.mark.parametrize("told", [({0}, {2}), ({0, 1}, {1, 2}), ({0, 1}, set())])
async def test_a_list_in_which_a_partition_is_missing_or_told_of_twice_is_asked_for_again(
    told: tuple[set[int], set[int]],
) -> None:
    """While partition 1 moves, its old owner answers without it already, or its new owner with it as well."""
    rounds = 0

    def answer(host: str, _: str) -> WorkerResponse:
        nonlocal rounds
        rounds += host == "a"
        spoken = told[host == "b"] if rounds == 1 else {"a": {0}, "b": {1, 2}}[host]
        return WorkerResponse(200, host.encode(), partitions=frozenset(spoken))

    found = owners(answer, partitions=3)
    found.take("a", beat("a", 0, 1))
    found.take("b", beat("b", 2))
    assert [said.body for said in await found.ask_all("default", "/x")] == [b"a", b"b"]
    assert rounds == 2


async def test_a_list_that_is_never_whole_is_unavailable() -> None:
    found = owners(lambda _, __: WorkerResponse(200, b"", partitions=frozenset({0})), patience=0.0, partitions=2)
    found.take("a", beat("a", 0, 1))
    with pytest.raises(OwnerUnavailableError, match="Not every"):
        await found.ask_all("default", "/x")


async def test_who_owns_nothing_is_not_waited_for_in_lists() -> None:
    found = owners(lambda host, _: WorkerResponse(200, b"", partitions=frozenset({0})) if host == "a" else None)
    found.take("a", beat("a", 0))
    found.take("spare", beat("spare"))
    assert len(await found.ask_all("default", "/x")) == 1


async def test_what_is_posted_to_all_is_answered_by_those_who_can() -> None:
    answers = {"a": WorkerResponse(200, b"a"), "b": WorkerResponse(503, b"b")}
    found = owners(lambda host, path: answers.get(host) if path == "/x=1" else None)
    for worker in ("a", "b", "c"):
        found.take(worker, beat(worker))
    assert await found.post_all("default", "/x", b"1") == [WorkerResponse(200, b"a")]


async def test_an_owner_that_says_nothing_is_waited_for_no_longer_than_the_patience() -> None:
    found = Owners(lambda: 1, Silent(), 0.05)
    found.take("a", beat("a", 0))
    with pytest.raises(OwnerUnavailableError):
        await found.ask("default", "key", "/x")
    with pytest.raises(OwnerUnavailableError):
        await found.ask_all("default", "/x")


def copied(worker: str, *standbys: int) -> WorkerHeartbeat:
    return beat(worker).model_copy(update={"standbys": list(standbys)})


async def test_a_standby_is_not_asked_while_the_owner_answers() -> None:
    found = owners(lambda host, _: WorkerResponse(404 if host == "a" else 200, b""))
    found.take("a", beat("a", 0))
    found.take("b", copied("b", 0))
    assert (await found.ask_stale("default", "key", "/owner/x")).status == 404


@pytest.mark.parametrize("trouble", ["dead", "unknown", "moving"])
async def test_a_standby_answers_in_place_of_an_owner_that_does_not(trouble: str) -> None:
    asked: list[tuple[str, str]] = []

    def answer(host: str, path: str) -> WorkerResponse | None:
        asked.append((host, path))
        if host == "a":
            return None if trouble == "dead" else WorkerResponse(503, b"")
        return WorkerResponse(200, b"old")

    found = owners(answer)
    if trouble != "unknown":
        found.take("a", beat("a", 0))
    found.take("b", copied("b", 0))
    assert (await found.ask_stale("default", "key", "/owner/x")).body == b"old"
    assert asked[-1] == ("b", "/standby/x")


async def test_what_a_copy_lacks_is_no_answer() -> None:
    def answer(_: str, path: str) -> WorkerResponse:
        if path.startswith("/standby"):
            found.take("b", beat("b", 0))
            return WorkerResponse(404, b"")
        return WorkerResponse(200, b"the owner's")

    found = owners(answer)
    found.take("b", copied("b", 0))
    assert (await found.ask_stale("default", "key", "/owner/x")).body == b"the owner's"


async def test_without_owner_and_copy_a_question_is_unavailable() -> None:
    found = owners(lambda _host, _path: WorkerResponse(421, b""), patience=0.0)
    found.take("b", copied("b", 0))
    with pytest.raises(OwnerUnavailableError):
        await found.ask_stale("default", "key", "/owner/x")
