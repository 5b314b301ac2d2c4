"""Answers who addresses the app in Slack."""

from __future__ import annotations

import re

from schemas.slack import SlackAppMention
from streams import StartRun, on
from streams.agents.reply import Question, reply

NAME = re.compile(r"<@[A-Z0-9]+(\|[^>]*)?>")


@on(SlackAppMention)
async def mentioned(event: SlackAppMention) -> StartRun | None:
    """Start a reply to what was said beside the name; other bots, and a bare name, get none."""
    text = NAME.sub("", event.text).strip()[:4_000]
    payload = event.payload if isinstance(event.payload, dict) else {}
    if not text or payload.get("bot_id"):
        return None
    thread = payload.get("thread_ts") or payload.get("ts")
    asked = Question(
        text=text, channel=event.channel, user=event.user, thread=thread if isinstance(thread, str) else ""
    )
    return StartRun(reply, asked)
