"""A batch: records of one source partition in order, whose outputs and offset are one unit."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, cast

from streams.runtime.commit_unit import CommitUnit
from streams.runtime.record import weight_of

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from streams.runtime.assignment import SourcePartition
    from streams.runtime.record import ConsumedRecord

# The batch that the running handler was given: sends and table writes made meanwhile belong to it.
CURRENT: ContextVar[RecordBatch | None] = ContextVar("streams_current_batch", default=None)

GROW_LIMIT: Final = 2000  # records a batch may grow to while nobody has begun it
SHORT: Final = 100  # the same for records that are not handled in microseconds: the loop serves others in between


def queue_of(source: SourcePartition) -> deque[RecordBatch]:
    """Return the batches of a source that are not committed, in order."""
    return cast("deque[RecordBatch]", source.queue)


class RecordBatch(CommitUnit):
    """Records handed to a Faust stream as a whole.

    `open` counts the agents that have not finished it; at zero it is sealed and joins the group commit behind its
    predecessors of the same source, so that the committed offset never passes unfinished work.
    """

    LIMIT = 128 * 1024 * 1024  # a batch is cut by the records that came, not by what its handler makes of them

    __slots__ = ("_weight", "finish", "messages", "next", "open", "rejected", "source", "started", "taken", "withdrawn")

    def __init__(
        self,
        source: SourcePartition,
        messages: list[ConsumedRecord],
        agents: int,
        finish: Callable[[RecordBatch], None],
    ) -> None:
        """Take `messages` of `source` for `agents` streams; `finish` is called when all are done with them."""
        super().__init__(source.owner)
        self.source = source
        self.messages = messages
        self._weight = weight_of(messages)
        self.next: int = messages[-1].offset() + 1
        self.open = agents
        self.started = False
        self.taken = False
        self.rejected = False  # its handler failed: nothing of it counts, and its records are read again one by one
        self.withdrawn = False  # its partition goes before anybody began it: its records come again to the next owner
        self.finish = finish

    def grow(self, messages: list[ConsumedRecord], most: int = GROW_LIMIT) -> bool:
        """Append records that came in before anybody began, so that slow handlers get large batches."""
        if self.started or len(self.messages) >= most:
            return False
        self.messages += messages
        self._weight += weight_of(messages)
        self.next = messages[-1].offset() + 1
        return True

    def done(self) -> None:
        """One agent has finished with the batch."""
        self.open -= 1
        if self.open == 0:
            self.sealed = True
            self.finish(self)

    def moves(self) -> tuple[str, int]:
        """Return the source topic and the offset after the last record."""
        return self.source.topic, self.next

    def weight(self) -> int:
        """Return what the records weigh, for back-pressure."""
        return self._weight
