"""Answers who addresses the app in Slack."""

from __future__ import annotations

import re

from schemas.slack import SlackAppMention
from streams import StartRun, on
from streams.agents.reply import Question, reply

# Each part has a bound and none may begin another name: the time grows with the text's length and no faster.
NAME = re.compile(r"<@[A-Z0-9]{1,32}(?:\|[^<>]{0,80})?>")
LONGEST = 8_000  # characters that are looked at: twice of what is passed on


@on(SlackAppMention)
async def mentioned(event: SlackAppMention) -> StartRun | None:
    """Start a reply to the text beside the name; other bots, and a bare name, get none."""
    text = NAME.sub("", event.text[:LONGEST]).strip()[:4_000]
    payload = event.payload if isinstance(event.payload, dict) else {}
    if not text or payload.get("bot_id"):
        return None
    thread = payload.get("thread_ts") or payload.get("ts")
    asked = Question(
        text=text, channel=event.channel, user=event.user, thread=thread if isinstance(thread, str) else ""
    )
    return StartRun(reply, asked)
