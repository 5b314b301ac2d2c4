"""Events: types, keys and abstract bases."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas import Event
from schemas.errors import SchemaError
from schemas.github import GithubIssueOpened
from tests.unit.schemas.models import Five


class Base(Event, key="ticket"):
    ticket: int


class Opened(Base, type="ticket.opened"):
    title: str = ""


def test_the_key_is_text() -> None:
    assert Five(user="ü", count=1, share=1, good=True, text="").key_text() == "ü"
    assert Opened(ticket=7).key_text() == "7"


def test_a_subclass_without_type_is_abstract_and_hands_its_key_on() -> None:
    assert Base.event_type == ""
    assert (Opened.event_type, Opened.event_key) == ("ticket.opened", "ticket")


def test_an_event_without_key_has_none() -> None:
    class Loose(Event, type="loose.end"):
        a: int = 0

    assert Loose().key_text() is None


def test_a_key_that_is_no_field_is_refused() -> None:
    with pytest.raises(SchemaError, match="not one of its fields"):

        class Wrong(Event, type="wrong.key", key="b"):
            a: int


@pytest.mark.parametrize("name", ["Ticket.Opened", "ticket opened", ".x", "x."])
def test_an_ill_formed_type_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="dotted lower case"):

        class Wrong(Event, type=name):
            a: int


def test_events_are_frozen_and_closed() -> None:
    event = GithubIssueOpened(repository="o/r", number=1, title="t")
    with pytest.raises(ValidationError):
        event.title = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        GithubIssueOpened.model_validate({"repository": "o/r", "number": 1, "title": "t", "more": 1})
