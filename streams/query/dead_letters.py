"""Dead letters as people see them: the newest first, each with its state, folded from what the log says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from schemas.attributes import Attributes
from schemas.dead import DeadDiscarded, DeadLettered, DeadRedriven
from schemas.errors import SchemaError
from topics.backward_reader import backwards
from topics.reader import read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas import Event
    from schemas.avro.codec import Codec
    from topics.kafka import KafkaConfig
    from topics.names import Names
    from topics.reader import RawRecord

    E = TypeVar("E", bound=Event)

STATES: Final = ("open", "redriven", "discarded")
MOST: Final = 50_000
"""Records that one question looks through; what is older is found by its id."""

_KINDS: Final[dict[str, type[DeadLettered | DeadRedriven | DeadDiscarded]]] = {
    kind.event_type: kind for kind in (DeadLettered, DeadRedriven, DeadDiscarded)
}


@dataclass(slots=True)
class DeadLetter:
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


class DeadLetterPage(NamedTuple):
    """Dead letters, the newest first; `complete` is False where older ones were not looked at."""

    letters: list[DeadLetter]
    complete: bool


class DeadLetterMention(NamedTuple):
    """What a record has of a dead letter: its place, without the bytes."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    event: DeadLettered | DeadRedriven | DeadDiscarded | None
    event_id: str


class DeadLetterFold:
    """Takes the records about dead letters, newest first, and keeps the wanted ones with their states.

    The state of a dead letter is final as soon as it is met, since all that changed it is newer.
    """

    def __init__(self, wanted: Callable[[DeadLetter], bool]) -> None:
        self.letters: dict[str, DeadLetter] = {}
        self._wanted = wanted
        self._met: set[str] = set()
        self._orders: dict[str, tuple[DeadRedriven | DeadDiscarded, str]] = {}
        self._redrives: dict[str, int] = {}

    def take(self, mention: DeadLetterMention) -> None:
        """Take in the next older record."""
        event = mention.event
        if event is None:
            return
        dead_id = event.dead_id
        if isinstance(event, DeadRedriven):
            self._redrives[dead_id] = max(self._redrives.get(dead_id, 0), event.attempt)
        if dead_id in self._met:
            if dead_id in self.letters:
                self.letters[dead_id].redrives = self._redrives.get(dead_id, 0)
        elif isinstance(event, DeadLettered):
            self._met.add(dead_id)
            letter = self._letter(mention, event)
            if self._wanted(letter):
                self.letters[dead_id] = letter
        else:
            self._orders.setdefault(dead_id, (event, mention.event_id))

    def _letter(self, mention: DeadLetterMention, event: DeadLettered) -> DeadLetter:
        letter = DeadLetter(event, mention.topic, mention.partition, mention.offset, mention.at_ms)
        letter.redrives = self._redrives.get(event.dead_id, 0)
        order, mark = self._orders.get(event.dead_id, (None, None))
        # a redrive may fail before the order to it is noted: such a dead letter is before the note and later than it
        if isinstance(order, DeadDiscarded) or (order is not None and mention.at_ms <= order.at_ms):
            letter.state = "discarded" if isinstance(order, DeadDiscarded) else "redriven"
            letter.mark = mark
        return letter


class DeadLetterIndex:
    """Reads the topic of dead letters; blocking, so it is called in a thread. Raises TopicError."""

    def __init__(self, config: KafkaConfig, names: Names, codec: Codec) -> None:
        self._config = config
        self._topic = names.dead_letters
        self._codec = codec

    def newest(self, wanted: Callable[[DeadLetter], bool], limit: int) -> DeadLetterPage:
        """Return the newest dead letters that are wanted, from the ends of the log backwards, no further than needed.

        They come without their value, headers and traceback, which `whole` reads: ten thousand may be large.
        """
        fold, oldest, looked = DeadLetterFold(wanted), dict[int, int](), 0
        for step in backwards(self._config, self._topic, self._light):
            for mention in reversed(step.records):
                oldest[mention.partition] = mention.at_ms
                fold.take(mention)
            looked += len(step.records)
            floor = max((oldest.get(number, 1 << 62) for number in step.unread), default=0)
            enough = sum(letter.at_ms >= floor for letter in fold.letters.values()) >= limit
            if (enough or looked >= MOST) and step.unread:
                return DeadLetterPage(_newest_first(fold)[:limit], complete=False)
        found = _newest_first(fold)
        return DeadLetterPage(found[:limit], complete=len(found) <= limit)

    def whole(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Return dead letters with all that their records hold, without those that retention has deleted meanwhile."""
        places: dict[int, list[int]] = {}
        for letter in letters:
            places.setdefault(letter.partition, []).append(letter.offset)
        start = {number: min(offsets) for number, offsets in places.items()}
        end = {number: max(offsets) + 1 for number, offsets in places.items()}
        found: dict[tuple[int, int], DeadLettered] = {}
        for record in read(self._config, self._topic, start=start, end=end, partitions=places):
            if record.offset in places[record.partition] and isinstance(
                event := self._mention(record).event, DeadLettered
            ):
                found[record.partition, record.offset] = event
        return [
            replace(letter, letter=found[letter.partition, letter.offset])
            for letter in letters
            if (letter.partition, letter.offset) in found
        ]

    def find(self, dead_id: str) -> DeadLetter | None:
        """Return the whole dead letter with this id, wherever it lies; None if there is none."""
        fold = DeadLetterFold(lambda _: True)
        mention = [self._light(record) for record in read(self._config, self._topic, key=dead_id)]
        for one in reversed(mention):
            fold.take(one)
        found = fold.letters.get(dead_id)
        return None if found is None else next(iter(self.whole([found])), None)

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

    def _mention(self, record: RawRecord) -> DeadLetterMention:
        event, event_id = None, ""
        try:
            attributes = Attributes.from_headers(record.headers, default_time=record.timestamp)
            kind = _KINDS.get(attributes.type)
            if kind is not None:
                event, event_id = self._codec.decode(record.value, kind), attributes.id
        except SchemaError:
            event = None  # somebody else's record; `GET /topics/dead-letters/events` shows it
        return DeadLetterMention(record.topic, record.partition, record.offset, record.timestamp, event, event_id)

    def _light(self, record: RawRecord) -> DeadLetterMention:
        mention = self._mention(record)
        if isinstance(mention.event, DeadLettered):
            return mention._replace(
                event=mention.event.model_copy(update={"value": None, "headers": {}, "traceback": ""})
            )
        return mention


def _newest_first(fold: DeadLetterFold) -> list[DeadLetter]:
    return sorted(fold.letters.values(), key=lambda letter: (letter.at_ms, letter.offset), reverse=True)
