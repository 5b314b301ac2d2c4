"""Events with aliases below them, and with values that JSON cannot carry, read back as they were written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.derive import avro_schema
from schemas.errors import UnencodableError


class Person(BaseModel):
    first_name: str = Field(alias="firstName")


class Signed(Event, type="test.signed_by", key="who"):
    who: str
    person: Person
    people: list[Person]
    maybe: Person | None = None
    either: Person | int | bytes = 0
    anything: Any = None


class One:
    """A registry of one schema."""

    def id_of(self, model: type[BaseModel]) -> int:
        return 7

    def schema_of(self, schema_id: int) -> Any:
        return avro_schema(Signed)


ADA = Person(firstName="Ada")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"maybe": ADA, "either": ADA},
        {"either": b"\xff", "anything": [float("inf"), 2**70, b"\xff", {(1, 2): 3}, {"$int": "5"}]},
    ],
)
def test_an_event_reads_back_as_it_was_written(fields: dict[str, Any]) -> None:
    codec = Codec(One())
    event = Signed(who="w", person=ADA, people=[ADA], **fields)
    assert codec.decode(codec.encode(event), Signed) == event


def test_a_secret_in_an_event_is_refused() -> None:
    with pytest.raises(UnencodableError, match="cannot be recorded"):
        Codec(One()).encode(Signed(who="w", person=ADA, people=[], anything=SecretStr("x")))
