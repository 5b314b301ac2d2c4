"""What workers may still do about events: a repair leaves those alone, or their outputs would be written twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.journal import store_keys
from streams.query.dead_letters import MOST, DeadLetterIndex
from streams.replay.errors import ReplayError
from topics.admin import topic_names
from topics.groups import committed
from topics.reader import Time, read

if TYPE_CHECKING:
    from streams.define.reactions import Reaction
    from streams.replay.log import ReplayLog
    from topics.reader import RawRecord

_SKEW_MS: Final = 60_000


class WaitingEvents:
    """Events that wait at a worker: not yet read by it, parked by a reaction, or given up and open to be redriven.

    Read it before what reactions wrote: an event that is not held here has its outputs on the log already. Blocking.
    """

    def __init__(self, log: ReplayLog, since_ms: int) -> None:
        self._topic = log.names.events
        self._passed = committed(log.config, log.names.topic("streams.default"))
        self._parked = _parked(log, max(since_ms - _SKEW_MS, 0))
        self._open = _open(log)

    def why(self, reaction: Reaction, record: RawRecord) -> str | None:
        """Return why a reaction must not be run again for a record; None if it may."""
        if record.offset >= self._passed.get((self._topic, record.partition), 0):
            return "not handled by the workers yet"
        if reaction.debounce is not None or reaction.batch is not None:
            return "of a reaction with a window, which depends on when its worker ran"
        if (reaction.name, record.partition, record.offset) in self._parked:
            return "still waiting at its worker"
        if (reaction.name, record.partition, record.offset) in self._open:
            return "open dead letters: redrive or discard them"
        return None


def _parked(log: ReplayLog, since_ms: int) -> set[tuple[str, int, int]]:
    """Return reaction, partition and offset of what is parked; its rows are younger than the events."""
    topic = log.names.journal("default")
    if topic not in topic_names(log.config):
        return set()
    rows: dict[tuple[int, bytes], bool] = {}
    for record in read(log.config, topic, start=Time(since_ms)):
        if record.key is not None and record.key.startswith(store_keys.PARKED_EVENT):
            rows[record.partition, record.key] = record.value is not None
    found = set()
    for (partition, key), there in rows.items():
        if there:  # q/<reaction>/<lane>/<topic>/<offset>
            reaction, _, rest = key.removeprefix(store_keys.PARKED_EVENT).partition(b"/")
            found.add((reaction.decode("utf-8", "replace"), partition, int(rest.rpartition(b"/")[2])))
    return found


def _open(log: ReplayLog) -> set[tuple[str, int, int]]:
    """Return reaction, partition and offset of events that were given up and may still be redriven."""
    topic = log.names.events
    page = DeadLetterIndex(log.config, log.names, log.codec).newest(
        lambda letter: letter.state == "open" and letter.letter.source_topic == topic, MOST
    )
    if not page.complete:
        raise ReplayError("there are too many dead letters to look through: discard or redrive what is settled first")
    return {(one.letter.consumer, one.letter.source_partition, one.letter.source_offset) for one in page.letters}
