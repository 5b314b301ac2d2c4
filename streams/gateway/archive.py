"""`GET /topics…` and `GET /dead-letters`: the log itself, a bounded page at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from streams.gateway.answers import answer
from streams.gateway.pages import limit_of
from streams.gateway.problem import Problem
from streams.gateway.submit import wrong
from streams.query.history import PositionError
from topics.errors import TopicError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from starlette.responses import Response

    from streams.gateway.deps import Deps, History
    from streams.gateway.operation import Call

    T = TypeVar("T")

_AT_ONCE: Final = 4
"""Pages read at the same time; each holds a consumer and a thread."""

_PATIENCE: Final = 20.0
"""Seconds for one page: a filter that finds nothing may read a whole topic."""


class Archive:
    """Reads pages in threads, a few at a time."""

    def __init__(self, deps: Deps) -> None:
        self._history = deps.history
        self._names = deps.names
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def topics(self, _: Call) -> Response:
        """`GET /topics`."""
        history = self._open()
        return answer({"topics": await self._run(history.topics)})

    async def events(self, call: Call) -> Response:
        """`GET /topics/{name}/events`: from the earliest to what is committed now, unless the query says otherwise."""
        query, history, limit = call.query_params, self._open(), limit_of(call)
        name = self._names.topic(self._names.bare(call.param("name")))
        start, end = query.get("from", "earliest"), query.get("to", "latest")

        def page() -> list[dict[str, Any]]:
            found = history.page(
                name, start=start, end=end, key=query.get("key"), event_type=query.get("type"), limit=limit
            )
            return list(found)

        known = await self._run(history.topics)
        if name not in {topic["name"] for topic in known if topic["partitions"]}:
            raise Problem("unknown-topic", "No topic of this pipeline has that name; see GET /topics.")
        return answer({"events": await self._run(page)})

    async def letters(self, call: Call) -> Response:
        """`GET /dead-letters`: the newest first."""
        history, limit = self._open(), limit_of(call)
        fingerprint = call.query_params.get("fingerprint")

        def page() -> list[dict[str, Any]]:
            found = history.page(
                self._names.dead_letters, start="earliest", end="latest", key=None, event_type=None, limit=_ALL
            )
            return [
                item for item in found if fingerprint is None or (item["data"] or {}).get("fingerprint") == fingerprint
            ]

        letters = await self._run(page)
        letters.sort(key=lambda item: str(item["time"]), reverse=True)
        return answer({"letters": [_shown(item) for item in letters[:limit]]})

    def _open(self) -> History:
        if self._history is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)
        return self._history

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_PATIENCE), self._turns:
                return await asyncio.to_thread(work)
        except PositionError as error:
            raise wrong("from", str(error)) from error
        except TimeoutError:
            raise Problem(
                "log-unavailable", "The page took too long; narrow it by from, to or key.", retry_after=1
            ) from None
        except TopicError as error:
            raise Problem("log-unavailable", "The log cannot be read at the moment.", retry_after=1) from error


_ALL: Final = 10_000
"""Dead letters that are looked through; more than that is a case for `streams dead list`."""


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    data = item["data"] if isinstance(item["data"], dict) else {}
    kept = {name: value for name, value in data.items() if name not in {"traceback", "value", "headers"}}
    return {
        **kept,
        "topic": item["topic"],
        "partition": item["partition"],
        "offset": item["offset"],
        "time": item["time"],
    }
