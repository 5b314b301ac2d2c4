"""Who addresses the app is answered, whatever the text holds beside the name."""

from __future__ import annotations

import pytest

from schemas.slack import SlackAppMention
from streams import StartRun
from streams.reactions.mentions import mentioned
from tests.unit.cpu import cpu_seconds


async def asked(text: str) -> str | None:
    """Return the question that a mention becomes."""
    said = await mentioned.fn(SlackAppMention(channel="C1", text=text))
    assert said is None or isinstance(said, StartRun)
    return None if said is None else said.input.text


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("<@U0LAN0Z89> is it up?", "is it up?"),
        ("<@U0LAN0Z89|bot> is it <@W1|x y> up?", "is it  up?"),
        ("is a <@ b> up?", "is a <@ b> up?"),
        ("<@U0LAN0Z89>", None),
        ("<@U0LAN0Z89> " + "a" * 9_000, "a" * 4_000),
    ],
)
async def test_the_name_is_left_out(text: str, question: str | None) -> None:
    assert await asked(text) == question


@pytest.mark.parametrize("piece", ["<@A|", "<@", "<@A", "<@A|<", "<@AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|", "|", "<@A|x>"])
async def test_a_text_made_of_beginnings_costs_no_more_than_its_length(piece: str) -> None:
    """80 kB of names without an end once took 66 s of the worker's loop, and then of the next worker's."""
    with cpu_seconds(5):
        await asked(piece * (800_000 // len(piece)))
