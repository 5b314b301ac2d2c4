"""Slack's webhooks, each delivery as an event of type ``slack.<event>`` with its payload as it came."""

from functools import lru_cache

from schemas.event import Event
from schemas.values import Json


class SlackEvent(Event, type="slack.event", key="channel"):
    """Something happened in a workspace.

    ``channel``, ``team`` and ``user`` are Slack's ids; a delivery about no channel has its team's id as ``channel``.
    ``payload`` is the event, command or interaction itself.
    """

    channel: str
    team: str = ""
    user: str = ""
    text: str = ""
    payload: Json = None


class SlackAppMention(SlackEvent, type="slack.app_mention"):
    """Somebody addressed the app."""


class SlackMessage(SlackEvent, type="slack.message"):
    """Somebody wrote a message."""


_OWN: dict[str, type[SlackEvent]] = {kind.event_type: kind for kind in (SlackAppMention, SlackMessage)}


@lru_cache(maxsize=256)
def slack_event(event_type: str) -> type[SlackEvent]:
    """Return the class for a type such as ``slack.reaction_added``; raises SchemaError for an ill-formed one."""
    if event_type in _OWN:
        return _OWN[event_type]

    class _SlackEventOfType(SlackEvent, type=event_type):
        __doc__ = SlackEvent.__doc__

    _SlackEventOfType.__name__ = _SlackEventOfType.__qualname__ = SlackEvent.__name__
    return _SlackEventOfType
