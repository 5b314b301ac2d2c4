"""A commit unit: records, rows and offsets that become visible together, in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from streams.runtime.errors import OverlayConflictError, RecordTooLargeError, UnitTooLargeError

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.partition_store import DeferredRow, PartitionStore

Headers = Sequence[tuple[str, str | bytes | None]]
# topic, value, key, partition (-1: by key), headers. A tuple because tens of thousands a second are made.
Out = tuple[str, bytes | None, bytes | None, int, Headers | None]
Write = tuple["PartitionStore", bytes, bytes | None]
Callback = Callable[[], None]


MAX_RECORD_BYTES: Final = 1_000_000  # the topics' max.message.bytes less room for headers and the batch frame
WHOLE_EVENT_BYTES: Final = 27 * 1024 * 1024  # of a record that holds an event as it came, such as a dead letter


class CommitUnit:
    """Collect what must be committed together for one assignment.

    Everything is added before `seal`; the committer takes sealed units in the order in which they were handed to it.
    """

    LIMIT: ClassVar[int] = 8 * 1024 * 1024  # bytes that may become true together

    __slots__ = (
        "assignment",
        "behind",
        "committed",
        "culprit",
        "large",
        "late",
        "lost",
        "on_add",
        "on_commit",
        "on_refuse",
        "outs",
        "sealed",
        "size",
        "writes",
    )

    def __init__(self, owner: PartitionAssignment) -> None:
        """Start an empty unit of `owner`."""
        self.assignment = owner
        self.outs: list[Out] = []
        self.writes: list[Write] = []
        self.late: list[DeferredRow] = []
        self.size = 0
        self.large = 0  # of it in records with a limit of their own, which do not count among LIMIT
        self.sealed = False
        self.committed = False
        self.on_commit: list[Callback] = []
        self.on_add: list[Callback] = []  # called once it is handed over: what they hand over comes behind it
        self.behind: CommitUnit | None = (
            None  # a unit, of another assignment perhaps, without which this one must not be true
        )
        self.lost = False  # it never became true, and never will
        self.culprit: str | None = None  # the run whose decision this is
        # Set where nothing rests on the unit; without it a refusal ends the assignment.
        self.on_refuse: Callable[[Exception], None] | None = None

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers | None = None,
        *,
        limit: int | None = None,
    ) -> None:
        """Add a record for another topic.

        Raises RecordTooLargeError here, at the sender, and not at the commit where its neighbours would suffer.
        """
        size = len(value or b"") + len(key or b"")
        if size > MAX_RECORD_BYTES and size > (limit or 0):
            raise RecordTooLargeError(
                f"a record of {size} bytes for {topic} is over {limit or MAX_RECORD_BYTES}: send a reference to it"
            )
        self.size += size
        if size > MAX_RECORD_BYTES:
            self.large += size
        counted = self.size - self.large
        if counted > self.LIMIT:
            raise UnitTooLargeError(
                f"{counted} bytes must be committed at once; the limit is {self.LIMIT}: use smaller steps"
            )
        self.outs.append((topic, value, key, partition, headers))

    def put(self, store: PartitionStore, key: bytes, value: bytes | None, *, limit: int | None = None) -> None:
        """Write a row (None deletes it): into the overlay now, into changelog and store at the commit.

        Of several writes of a row the last one counts: the others would become true in the same moment, for nobody.
        `limit` as that of `send`.
        """
        place = (len(self.outs), len(self.writes))
        held = store.dirty.get(key)
        if held is not None:
            if held[1] is self and held[2] is not None:
                place = held[2]
            elif held[1] is not self and not held[1].sealed:
                raise OverlayConflictError(
                    f"{store.name}: key {key!r} is being written by another open batch of this partition"
                )
        self.send(store.topic, value, key, store.partition, limit=limit)
        store.dirty[key] = (value, self, place)
        if place[1] == len(self.writes):
            self.writes.append((store, key, value))
        else:
            before = len(self.outs[place[0]][1] or b"") + len(key)
            self.size -= before
            self.large -= before if before > MAX_RECORD_BYTES else 0
            self.outs[place[0]] = self.outs.pop()
            self.writes[place[1]] = (store, key, value)

    def change(self, late: DeferredRow) -> None:
        """Change a row with this unit: readers through the overlay see it now, its bytes are made at the commit."""
        self.late.append(late)
        late.store.dirty[late.key] = (late, self, None)

    def mark(self) -> tuple[int, int, int]:
        """Return a point to roll back to while no row was put after it."""
        return len(self.outs), self.size, self.large

    def rollback(self, mark: tuple[int, int, int]) -> None:
        """Take back the records sent since `mark`."""
        del self.outs[mark[0] :]
        _, self.size, self.large = mark

    def settle(self, *, committed: bool = True) -> None:
        """Drop this unit's rows from the overlay: they are in the store now, or will never be."""
        self.committed, self.lost = committed, not committed
        for store, key, _ in self.writes:
            held = store.dirty.get(key)
            if held is not None and held[1] is self:
                del store.dirty[key]
        for late in self.late:
            held = late.store.dirty.get(late.key)
            if held is not None and held[1] is self:
                del late.store.dirty[late.key]

    def release(self) -> None:
        """Let go of the records once they are committed: a run keeps its newest unit for as long as it waits."""
        self.outs, self.writes, self.on_commit, self.on_add, self.behind = [], [], [], [], None

    def moves(self) -> tuple[str, int] | None:
        """Return the source topic and next offset that this unit commits, if it moves one."""
        return None

    def weight(self) -> int:
        """Return what the input records that this unit covers weigh, in bytes (for back-pressure)."""
        return 0
