"""A book of dead letters in memory, with the real codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.dead import DeadLettered
from streams.query.dead_letters import DeadLetter, DeadLetterPage

E = TypeVar("E", bound=Event)
CODEC = Codec(FileRegistry())


@dataclass
class FakeBook:
    letters: list[DeadLetter] = field(default_factory=list)
    kept: dict[tuple[str, bytes], Event] = field(default_factory=dict)

    def add(self, dead_id: str, **fields: Any) -> DeadLetter:
        given = {
            "source_topic": "events",
            "source_partition": 2,
            "source_offset": 7,
            "consumer": "events",
            "error": "x",
        }
        letter = DeadLetter(
            DeadLettered(dead_id=dead_id, **{**given, **fields}), "dead-letters", 0, len(self.letters), 1
        )
        self.letters.insert(0, letter)
        return letter

    def newest(self, wanted: Callable[[DeadLetter], bool], limit: int) -> DeadLetterPage:
        found = [letter for letter in self.letters if wanted(letter)]
        return DeadLetterPage(found[:limit], len(found) <= limit)

    def whole(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        return list(letters)

    def find(self, dead_id: str) -> DeadLetter | None:
        return next((letter for letter in self.letters if letter.letter.dead_id == dead_id), None)

    def last(self, topic: str, key: bytes, kind: type[E]) -> E | None:
        found = self.kept.get((topic, key))
        return found if isinstance(found, kind) else None

    def encode(self, event: Event) -> bytes:
        return CODEC.encode(event)

    def fields(self, value: bytes) -> dict[str, Any]:
        return CODEC.decode_dict(value)
