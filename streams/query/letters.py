"""Dead letters as people see them: the newest first, each with its state, folded from what the log says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from schemas.attributes import Attributes
from schemas.dead import DeadDiscarded, DeadLettered, DeadRedriven
from schemas.errors import SchemaError
from topics.backwards import backwards
from topics.reader import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas import Event
    from schemas.avro.codec import Codec
    from topics.kafka import KafkaConfig
    from topics.names import Names
    from topics.reader import RawRecord

    E = TypeVar("E", bound=Event)

STATES: Final = ("open", "redriven", "discarded")
MOST: Final = 100_000
"""Records that one question looks through; what is older is found by its id."""

_KINDS: Final[dict[str, type[DeadLettered | DeadRedriven | DeadDiscarded]]] = {
    kind.event_type: kind for kind in (DeadLettered, DeadRedriven, DeadDiscarded)
}


@dataclass(slots=True)
class Letter:
    """A dead letter as it was written last, and what was done about it since.

    `redrives` counts over all its letterings; `mark` is the event id of the order that gave it its state.
    """

    letter: DeadLettered
    topic: str
    partition: int
    offset: int
    at_ms: int
    state: str = "open"
    redrives: int = 0
    mark: str | None = None


class Page(NamedTuple):
    """Letters, the newest first; `complete` is False where older ones were not looked at."""

    letters: list[Letter]
    complete: bool


class Fold:
    """Takes what is said of dead letters, newest first, and keeps each letter with the state that follows from it."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self._orders: dict[str, tuple[DeadRedriven | DeadDiscarded, str]] = {}
        self._redrives: dict[str, int] = {}

    def take(self, record: RawRecord, event: DeadLettered | DeadRedriven | DeadDiscarded, event_id: str) -> None:
        """Take in the next older record."""
        dead_id = event.dead_id
        if isinstance(event, DeadRedriven):
            self._redrives[dead_id] = max(self._redrives.get(dead_id, 0), event.attempt)
        if (known := self.letters.get(dead_id)) is not None:
            known.redrives = self._redrives.get(dead_id, 0)
        elif not isinstance(event, DeadLettered):
            self._orders.setdefault(dead_id, (event, event_id))
        else:
            self.letters[dead_id] = self._letter(record, event)

    def _letter(self, record: RawRecord, event: DeadLettered) -> Letter:
        letter = Letter(event, record.topic, record.partition, record.offset, record.timestamp)
        letter.redrives = self._redrives.get(event.dead_id, 0)
        order, mark = self._orders.get(event.dead_id, (None, None))
        # a redrive may fail before the order to it is noted: such a letter lies before the note and is later than it
        if isinstance(order, DeadDiscarded) or (order is not None and record.timestamp < order.at_ms):
            letter.state = "discarded" if isinstance(order, DeadDiscarded) else "redriven"
            letter.mark = mark
        return letter


class LetterBook:
    """Reads the topic of dead letters; blocking, so it is called in a thread. Raises TopicError."""

    def __init__(self, config: KafkaConfig, names: Names, codec: Codec) -> None:
        self._config = config
        self._topic = names.dead_letters
        self._codec = codec

    def newest(self, wanted: Callable[[Letter], bool], limit: int) -> Page:
        """Return the newest letters that are wanted, from the ends of the log backwards, no further than needed."""
        fold, oldest, looked = Fold(), dict[int, int](), 0
        for step in backwards(self._config, self._topic):
            for record in reversed(step.records):
                oldest[record.partition] = record.timestamp
                self._take(fold, record)
            looked += len(step.records)
            found = [letter for letter in fold.letters.values() if wanted(letter)]
            floor = max((oldest.get(number, 1 << 62) for number in step.unread), default=0)
            enough = sum(letter.at_ms >= floor for letter in found) >= limit
            if (enough or looked >= MOST) and step.unread:
                return Page(_newest_first(found)[:limit], complete=False)
        found = _newest_first([letter for letter in fold.letters.values() if wanted(letter)])
        return Page(found[:limit], complete=len(found) <= limit)

    def find(self, dead_id: str) -> Letter | None:
        """Return the letter with this id, wherever it lies; None if there is none."""
        fold = Fold()
        records = list(read(self._config, self._topic, key=dead_id))
        for record in reversed(records):
            self._take(fold, record)
        return fold.letters.get(dead_id)

    def last(self, topic: str, key: bytes, kind: type[E]) -> E | None:
        """Return the last event under a key of any topic, None if there is none; raises SchemaError."""
        found = None
        for record in read(self._config, topic, key=key):
            found = record
        return None if found is None else self._codec.decode(found.value, kind)

    def encode(self, event: Event) -> bytes:
        """Return an event's bytes; raises SchemaError."""
        return self._codec.encode(event)

    def fields(self, value: bytes) -> dict[str, Any]:
        """Return what bytes hold as plain values; raises SchemaError with the cause."""
        return self._codec.decode_dict(value)

    def _take(self, fold: Fold, record: RawRecord) -> None:
        try:
            attributes = Attributes.from_headers(record.headers, default_time=record.timestamp)
            kind = _KINDS.get(attributes.type)
            if kind is not None:
                fold.take(record, self._codec.decode(record.value, kind), attributes.id)
        except SchemaError:  # somebody else's record; `GET /topics/dead-letters/events` shows it
            return


def _newest_first(letters: list[Letter]) -> list[Letter]:
    return sorted(letters, key=lambda letter: (letter.at_ms, letter.offset), reverse=True)
