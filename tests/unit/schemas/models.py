"""Models with every kind of field, for the tests of derivation and codec."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, HttpUrl

from schemas import Event, Json, Record


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Page(Record):
    url: str
    words: int = 0
    fetched: datetime | None = None


class Tree(Record):
    name: str
    children: list[Tree] = Field(default_factory=list)


class Everything(Event, type="test.everything", key="name"):
    name: str
    count: int
    share: float = 0.5
    good: bool = True
    raw: bytes = b"\xff\x00"
    when: datetime
    day: date = date(2026, 1, 2)
    ident: UUID
    link: HttpUrl | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    mode: Literal["fast", "slow"] = "fast"
    note: str | None = None
    page: Page = Page(url="about:blank")
    best: Page | None = None
    pages: list[Page] = Field(default_factory=list)
    maybe: list[int] | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    by_name: dict[str, Page] = Field(default_factory=dict)
    tree: Tree | None = None
    anything: Any = None
    data: Json = None
    either: int | str = 0
    price: Decimal = Decimal("1.5")


class Five(Event, type="test.five", key="user"):
    user: str
    count: int
    share: float
    good: bool
    text: str
