"""Slack: events, slash commands and interactivity, each as `slack.<event>`; retries are the same delivery again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from schemas.errors import SchemaError
from schemas.json_text import parse_json
from schemas.slack import SlackEvent, slack_event
from streams import Delivery, Reject, source

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class SlackSignature:
    """Slack's scheme `v0`: HMAC-SHA256 over `v0:timestamp:body`, at most `tolerance` seconds old."""

    tolerance: float = 300.0

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """The scheme's headers."""
        return (("x-slack-request-timestamp", "x-slack-signature"),)

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Return whether one of the secrets made the signature, in time."""
        timestamp = headers.get("x-slack-request-timestamp", "")
        if not (timestamp.isascii() and timestamp.isdigit()) or abs(now_s - int(timestamp[:15])) > self.tolerance:
            return False
        given = headers.get("x-slack-signature", "").lower().encode()
        signed = b"v0:" + timestamp.encode() + b":" + body
        sound = False
        for secret in secrets:
            wanted = b"v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
            sound |= bool(secret.strip()) and hmac.compare_digest(wanted, given)
        return sound

    def handshake(self, delivery: Delivery) -> dict[str, Any] | None:
        """Return the challenge that Slack wants to see when an address is set up."""
        if _is_form(delivery):
            return None
        body = _object(delivery.body)
        return {"challenge": body.get("challenge")} if body.get("type") == "url_verification" else None


def delivery_id(delivery: Delivery) -> str:
    """Return the event's id; for forms, which Slack does not repeat, the id of what the user did."""
    if _is_form(delivery):
        fields = _fields(delivery)
        return str(fields.get("trigger_id") or hashlib.sha256(delivery.body).hexdigest()[:32])
    return str(_object(delivery.body).get("event_id") or "")


@source(verify=SlackSignature(), once_per=delivery_id)
def slack(delivery: Delivery) -> SlackEvent | None:
    """Turn a delivery into its event; `app_rate_limited` and what else has no event of its own by its own type."""
    if _is_form(delivery):
        fields = _fields(delivery)
        name = "slash_command" if "command" in fields else str(fields.get("type") or "interaction")
        return _event(name, fields)
    body = _object(delivery.body)
    event = body.get("event")
    if not isinstance(event, dict):
        return _event(str(body.get("type") or ""), body)
    return _event(str(event.get("type") or ""), {**event, "team_id": body.get("team_id")})


def _event(name: str, fields: dict[str, Any]) -> SlackEvent:
    try:
        kind = slack_event(f"slack.{name}")
    except SchemaError:
        message = "the body names no event"
        raise Reject(message) from None
    channel = _id(fields, "channel") or _id(fields, "channel_id") or _id(fields, "item")
    return kind(
        channel=channel or _id(fields, "team") or _id(fields, "team_id"),
        team=_id(fields, "team_id") or _id(fields, "team"),
        user=_id(fields, "user") or _id(fields, "user_id"),
        text=fields["text"] if isinstance(fields.get("text"), str) else "",
        payload=fields,
    )


def _id(fields: dict[str, Any], name: str) -> str:
    """Return an id, which stands by itself in events and in an object in interactivity payloads."""
    found = fields.get(name)
    if isinstance(found, dict):
        found = found.get("id") or found.get("channel")
    return found if isinstance(found, str) else ""


def _is_form(delivery: Delivery) -> bool:
    return delivery.headers.get("content-type", "").startswith(_FORM)


def _fields(delivery: Delivery) -> dict[str, Any]:
    """Return a slash command's fields, or the JSON that interactivity has in its one field."""
    form = parse_qs(delivery.body.decode("utf-8", "replace"), keep_blank_values=True)
    if "payload" in form:
        return _object(form["payload"][0].encode())
    return {name: values[0] for name, values in form.items() if name != "token"}


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = parse_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = "the body must be a JSON object"
        raise Reject(message)
    return {name: value for name, value in found.items() if name != "token"}
