"""What can be said has a place where it is said, and a published schema to read it by."""

from __future__ import annotations

import pytest

from schemas.avro.published_schemas import FOLDER, check, load
from schemas.catalogue import PLAIN_RECORDS, events
from streams.app import discover
from streams.local.declare import wanted
from streams.settings import Settings

pytestmark = pytest.mark.house

ON_THE_BUS = frozenset({"events"})
"""Topics that take any event; the others say which they hold."""


def test_every_record_has_a_published_compatible_schema() -> None:
    assert check([*events().values(), *PLAIN_RECORDS]) == []


def test_every_published_file_is_in_the_index() -> None:
    listed = {entry.file for entry in load()}
    assert {path.name for path in FOLDER.glob("*.avsc")} == listed


def test_every_event_named_by_a_topic_exists() -> None:
    known = set(discover().events)
    topics = wanted(Settings(), discover())
    assert {event for topic in topics for event in topic.events} - known == set()


def test_there_is_a_bus_for_all_other_events() -> None:
    names = {topic.name for topic in wanted(Settings(topic_prefix=""), discover())}
    assert names >= ON_THE_BUS


def test_every_topic_says_what_it_is_for() -> None:
    assert [topic.name for topic in wanted(Settings(), discover()) if not topic.description or not topic.kind] == []
