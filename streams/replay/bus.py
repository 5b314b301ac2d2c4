"""Runs the bus again in memory: events into tables and reactions, each reaction once an event; it collects outputs."""

from __future__ import annotations

import heapq
import inspect
import itertools
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.define.policies import Reject, Retry
from streams.engine.starts import listed, outputs_of
from streams.error_text import error_message, error_type, error_types
from streams.errors import StreamsError, UserCodeExit
from streams.replay.errors import OutsideError
from streams.replay.rows import ReplayedRows, SeenIds
from streams.replay.wall import walled
from streams.replay.world import Miss
from streams.user_code import awaited, called

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas import Event
    from schemas.avro.codec import Codec
    from streams.app import Catalog
    from streams.define.reactions import Reaction
    from streams.engine.decision import Output
    from streams.replay.log import Arrival
    from topics.reader import RawRecord


_Lane = tuple[int, str, str]  # partition, reaction and key: what is handled one at a time


@dataclass(slots=True)
class _Item:
    """One event for one reaction."""

    reaction: Reaction
    event_id: str
    event: Event | list[Event]
    at_ms: int


class BusReplay:
    """Handles events in the order in which they are given; nothing is written, nothing outside is reached.

    Only with `outside` may reactions connect to anything. `held` gives the reason why a reaction must not be run for a
    record, if there is one; those are counted as left out.
    """

    def __init__(
        self,
        catalog: Catalog,
        codec: Codec,
        *,
        outside: bool = False,
        held: Callable[[Reaction, RawRecord], str | None] = lambda _reaction, _record: None,
    ) -> None:
        tables = (table for table in catalog.tables.values() if table.pool == "default" and not table.of_runs)
        self.rows = ReplayedRows(tables, codec)
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.left_out: Counter[str] = Counter()
        self.errors: list[str] = []
        self.misses: list[Miss] = []
        self._outside = outside
        self._held = held
        self._seen = SeenIds()
        self._reactions: dict[str, list[Reaction]] = defaultdict(list)
        for reaction in catalog.reactions.values():
            for kind in reaction.event_types:
                self._reactions[kind.event_type].append(reaction)
        self._windows: dict[int, list[tuple[int, int, _Lane]]] = defaultdict(list)  # by partition: due, rank, lane
        self._waiting: dict[_Lane, tuple[int, _Item]] = {}
        self._rank = itertools.count()

    async def handle(self, arrival: Arrival, *, again: bool = False) -> list[tuple[int, Output]]:
        """Fold an event and run its reactions; return what came out, with its time (ms since the epoch).

        An event that was handled before and comes `again`, to bring tables and windows to where they were, makes
        nothing come out. Call it in order within a partition; partitions may go side by side.
        """
        record, attributes, event = arrival.record, arrival.attributes, arrival.event
        if attributes is None:
            self.left_out["undecodable"] += 1
            return []
        out = await self._close(record.partition, record.timestamp, again=again)
        if event is None:
            self.left_out["of unknown type"] += 1
        elif self._seen.again(record, attributes):
            self.left_out["repeated"] += 1
        else:
            self._fold(arrival, event)
            for reaction in self._reactions.get(attributes.type, ()):
                why = self._held(reaction, record)
                if why is not None:
                    self.left_out[why] += 1
                else:
                    item = _Item(reaction, attributes.id, event, record.timestamp)
                    out += await self._hand(record.partition, _lane(reaction, event, record.key), item, again=again)
        return out

    async def _hand(self, partition: int, lane: str, item: _Item, *, again: bool) -> list[tuple[int, Output]]:
        """Hand an event to its reaction: at once, or to what the reaction waits for."""
        if item.reaction.batch is not None:
            return await self._collect(partition, lane, item, again=again)
        if item.reaction.debounce is not None:
            self._wait(partition, lane, item.reaction.debounce, item)
            return []
        return [] if again else await self._react(item)

    async def finish(self) -> list[tuple[int, Output]]:
        """Close the windows that are still open."""
        return [one for partition in sorted(self._windows) for one in await self._close(partition, None, again=False)]

    def _fold(self, arrival: Arrival, event: Event) -> None:
        with walled():
            failed = self.rows.fold(event, arrival.record.partition, arrival.record.key)
        for name, error in failed:
            self._failed(f"table {name}", arrival.record.offset, error)

    def _wait(self, partition: int, lane: str, window: float, item: _Item) -> None:
        """Let an event lie in its window; the last one of a lane replaces those before it."""
        place, due = (partition, item.reaction.name, lane), item.at_ms + int(window * 1000)
        rank = next(self._rank)
        self._waiting[place] = (rank, item)
        heapq.heappush(self._windows[partition], (due, rank, place))

    async def _collect(self, partition: int, lane: str, item: _Item, *, again: bool) -> list[tuple[int, Output]]:
        """Add an event to those of its lane, and handle them if they are as many as are handed over together."""
        place, reaction, event = (partition, item.reaction.name, lane), item.reaction, item.event
        if place not in self._waiting:
            item.event = []
            self._wait(partition, lane, reaction.within or 0, item)
        first = self._waiting[place][1]
        first.event = [*first.event, event]  # type: ignore[list-item]
        if len(first.event) < (reaction.batch or 1):
            return []
        first.at_ms = item.at_ms
        del self._waiting[place]
        return [] if again else await self._react(first)

    async def _close(self, partition: int, now_ms: int | None, *, again: bool) -> list[tuple[int, Output]]:
        """Handle what lies in windows that are over, by the time of the partition's records (None: all)."""
        out: list[tuple[int, Output]] = []
        windows = self._windows[partition]
        while windows and (now_ms is None or windows[0][0] <= now_ms):
            due, rank, place = heapq.heappop(windows)
            waiting = self._waiting.get(place)
            if waiting is not None and waiting[0] == rank:
                del self._waiting[place]
                waiting[1].at_ms = due
                out += [] if again else await self._react(waiting[1])
        return out

    async def _react(self, item: _Item) -> list[tuple[int, Output]]:
        """Run a reaction, again as often as its policy says, without the pauses between."""
        count = self.counts[item.reaction.name]
        count["events"] += 1
        attempt = 1
        while True:
            try:
                with nullcontext() if self._outside else walled():
                    made: Any = called(item.reaction.fn, item.event)
                    made = await awaited(made) if inspect.isawaitable(made) else made
                outputs = outputs_of(item.event_id, item.reaction.name, called(listed, made), item.at_ms)
            except Exception as error:  # noqa: BLE001 - a reaction is users' code; live its policy decides
                if _again(item.reaction, error, attempt):
                    attempt += 1
                    continue
                count["failed"] += 1
                self._failed(item.reaction.name, item.event_id, error)
                return []
            count["outputs"] += len(outputs)
            return [(item.at_ms, output) for output in outputs]

    def _failed(self, consumer: str, event: object, error: Exception) -> None:
        if isinstance(error, OutsideError):
            self.misses.append(Miss(str(event), "", "reaction", consumer, error_message(error)))
        else:
            self.errors.append(f"{consumer} on {event}: {error_type(error)}: {error_message(error)}")


def _lane(reaction: Reaction, event: Event, key: bytes | None) -> str:
    return (key or b"").decode("utf-8", "replace") if reaction.by is None else str(getattr(event, reaction.by))


def _again(reaction: Reaction, error: Exception, attempt: int) -> bool:
    if attempt >= reaction.retry.attempts or isinstance(error, Reject):
        return False
    if isinstance(error, Retry):
        return True
    ours = isinstance(error, StreamsError) and not isinstance(error, UserCodeExit)
    return not ours and reaction.retry.allows(error_types(error))
