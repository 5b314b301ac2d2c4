"""Hosts that a question names, and those that a tool call would reach beyond them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from streams.model.reach import beyond, named


class Asked(BaseModel):
    text: str
    urls: list[str]


def test_hosts_come_from_texts_and_data() -> None:
    asked = Asked(text="See https://A.example./x, and (http://b.example:8080/y)!", urls=["http://[::1]/"])
    assert named("Use http://c.example.", asked) == {"a.example", "b.example", "c.example", "::1"}


@pytest.mark.parametrize(
    ("arguments", "strange"),
    [
        ({"url": "http://a.example/x"}, []),
        ({"url": "http://a.example:99/x"}, []),
        ({"url": "HTTPS://A.EXAMPLE./"}, []),
        ({"url": "http://b.example/"}, ["b.example"]),
        ({"url": " http://b.example/"}, ["b.example"]),
        (
            {"urls": ["http://a.example/", "http://c.example/"], "callback": "http://d.example"},
            ["c.example", "d.example"],
        ),
        ({"url": "http://a.example@b.example/"}, ["b.example"]),
        ({"data": {"deep": [{"to": "https://e.example/"}]}}, ["e.example"]),
        ({"query": "what does http://b.example/ say"}, []),
        ({"limit": 3, "query": "plain"}, []),
    ],
)
def test_what_goes_beyond(arguments: Any, strange: list[str]) -> None:
    assert beyond(arguments, {"a.example"}) == strange
    assert beyond(arguments, ["*"]) == []
