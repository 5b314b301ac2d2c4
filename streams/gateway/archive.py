"""`GET /topics…`: the log itself, a bounded page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.gateway.answers import answer
from streams.gateway.pages import check_names, limit_of
from streams.gateway.problem import Problem
from streams.gateway.sse import MEDIA_TYPE, Streams
from streams.gateway.topic_events import TopicEvents

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps, History
    from streams.gateway.operation import OperationCall
    from streams.gateway.threads import GatewayThreads


class Archive:
    """Reads pages in threads."""

    def __init__(self, deps: Deps, threads: GatewayThreads, streams: Streams) -> None:
        self._history = deps.history
        self._names = deps.names
        self._threads = threads
        self._stream = TopicEvents(threads, streams)

    async def topics(self, call: OperationCall) -> Response:
        """`GET /topics`."""
        history = self._open()
        return answer({"topics": await self._threads.run(history.topics, call, watch=True)})

    async def events(self, call: OperationCall) -> Response:
        """`GET /topics/{name}/events`: from the earliest to what is committed now, unless the query says otherwise.

        Who accepts `text/event-stream` gets what comes from now on.
        """
        check_names(call, "from", "to", "key", "type", "limit")
        query, history, limit = call.query_params, self._open(), limit_of(call)
        name = self._names.topic(self._names.bare(call.param("name")))
        known = await self._threads.run(history.topics, call)
        if name not in {topic["name"] for topic in known if topic["partitions"]}:
            raise Problem("unknown-topic", "No topic of this pipeline has that name; see GET /topics.")
        if MEDIA_TYPE in call.headers.get("accept", ""):
            return await self._stream(call, history, name, limit if "limit" in query else None)
        start, end = query.get("from", "earliest"), query.get("to", "latest")

        def page() -> list[dict[str, Any]]:
            found = history.page(
                name, start=start, end=end, key=query.get("key"), event_type=query.get("type"), limit=limit
            )
            return list(found)

        return answer({"events": await self._threads.run(page, call, watch=True)})

    def _open(self) -> History:
        if self._history is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)
        return self._history
