"""What happens of itself, from the event on the bus to the event that its run emits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.bus import AgentAdapted, DataProcessed, EnvironmentChanged, NewDataArrived, UserUpdated
from schemas.slack import SlackAppMention
from streams import StartRun
from streams.agents.adaptation import Change, adaptation
from streams.agents.digest import News, digest
from streams.agents.reply import Question, reply
from streams.model.scripted_model import ScriptedModel
from streams.reactions.arrivals import data_arrived
from streams.reactions.changes import environment_changed, user_updated
from streams.reactions.mentions import mentioned
from streams.tools.documents import FOLDER
from tests.flow.agents._drive import Ended, drive
from tests.unit.tools._site import html, network, site

DIGEST = {"summary": "Prices are higher.", "important": True}
PAGE = html("<html><head><title>Prices</title></head><body><article><p>Milk is dearer.</p></article></body></html>")


async def digested(event: NewDataArrived, model: ScriptedModel) -> Ended:
    started = await data_arrived(event)
    assert isinstance(started, StartRun)
    assert started.agent is digest
    assert isinstance(started.input, News)
    return await drive(digest, started.input, model)


def processed(ended: Ended) -> DataProcessed:
    assert (ended.status, ended.error) == ("succeeded", None)
    [event] = ended.events
    assert isinstance(event, DataProcessed)
    return event


async def test_new_data_is_processed() -> None:
    model = ScriptedModel(DIGEST)
    told = processed(await digested(NewDataArrived(source="feed", data={"milk": 2}), model))
    assert (told.source, told.run_id, told.summary) == ("feed", "r1", "Prices are higher.")
    assert '{"milk":2}' in model.requests[0].messages[-1].content


async def test_a_page_with_new_data_is_read_and_processed() -> None:
    model = ScriptedModel(DIGEST)
    async with site({"/prices": PAGE}) as (origin, _):
        with network(origin.removeprefix("http://")):
            ended = await digested(NewDataArrived(source="feed", reference=f"{origin}/prices"), model)
    assert processed(ended).data == DIGEST
    assert "Milk is dearer." in model.requests[0].messages[-1].content


async def test_a_watched_file_is_read_and_no_other_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    feed, secret = tmp_path / "the feed.csv", tmp_path / "secret"
    feed.write_text("milk,2")
    secret.write_text("canary")
    monkeypatch.setenv("STREAMS_DATA_SOURCES", str(feed))
    model = ScriptedModel(DIGEST)
    processed(await digested(NewDataArrived(source="feed", reference=feed.as_uri()), model))
    assert "milk,2" in model.requests[0].messages[-1].content
    refused = await digested(NewDataArrived(source="feed", reference=secret.as_uri()), ScriptedModel(DIGEST))
    assert refused.status == "failed"
    assert refused.events == []


@pytest.mark.parametrize("more", [{"reference": "s3://bucket/x"}, {}])
async def test_what_cannot_be_read_here_starts_nothing(more: dict[str, Any]) -> None:
    assert await data_arrived(NewDataArrived(source="feed", **more)) is None


@pytest.mark.parametrize(
    ("event", "about"),
    [
        (EnvironmentChanged(subject="rate limit", before=10, after=5), "rate limit"),
        (UserUpdated(user_id="u-1", changes={"language": "fr"}), "user u-1"),
    ],
)
async def test_a_change_is_adapted_to(event: EnvironmentChanged | UserUpdated, about: str) -> None:
    reaction = environment_changed if isinstance(event, EnvironmentChanged) else user_updated
    started = await reaction(event)
    assert started.agent is adaptation
    assert isinstance(started.input, Change)
    model = ScriptedModel({"change": "Ask less often."})
    ended = await drive(adaptation, started.input, model)
    [told] = ended.events
    assert isinstance(told, AgentAdapted)
    assert (told.run_id, told.change) == ("r1", "Ask less often.")
    assert told.data["about"] == about
    assert about in model.requests[0].messages[-1].content


def mention(text: str, **payload: Any) -> SlackAppMention:
    return SlackAppMention(channel="C1", team="T", user="U1", text=text, payload=payload)


async def test_a_mention_is_answered_from_the_documents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMS_STATE_DIR", str(tmp_path))
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "falcons.md").write_text("# Falcons\n\nFalcons dive at 320 km/h.")
    started = await mentioned(mention("<@U0BOT> how fast do falcons dive?", ts="17.5"))
    assert started is not None
    assert started.agent is reply
    assert started.input == Question(text="how fast do falcons dive?", channel="C1", user="U1", thread="17.5")
    model = ScriptedModel("At 320 km/h.")
    ended = await drive(reply, started.input, model)
    assert (ended.result["text"], ended.result["thread"]) == ("At 320 km/h.", "17.5")
    assert processed(ended).source == "C1"
    assert "320" in str([message.content for message in model.requests[0].messages])


@pytest.mark.parametrize("event", [mention("<@U0BOT>"), mention("<@U0BOT> hello", bot_id="B1")])
async def test_a_bare_name_and_other_bots_are_not_answered(event: SlackAppMention) -> None:
    assert await mentioned(event) is None
