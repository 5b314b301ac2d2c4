"""Where alerts go besides the log: a webhook signed as Standard Webhooks says, and chats that take Slack's form."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams import clock

if TYPE_CHECKING:
    import httpx

    from streams.settings import Settings

_ANSWER_S: Final = 10.0


async def deliver(settings: Settings, id: str, message: dict[str, Any], client: httpx.AsyncClient | None = None) -> int:
    """Post `message` to every sink that is set and return how many there were; the same id for the same alert.

    Raises httpx's HTTPError when one does not take it: the others may have, and know it by its id.
    """
    import httpx  # noqa: PLC0415 - commands import reactions and need no HTTP client

    posts: list[tuple[str, bytes, dict[str, str]]] = []
    json = {"content-type": "application/json"}
    if settings.alert_webhook is not None:
        body = orjson.dumps(message)
        secret = settings.alert_webhook_secret
        signed = {} if secret is None else signature(id, clock.now_ms() // 1000, body, secret.get_secret_value())
        posts.append((settings.alert_webhook.get_secret_value(), body, json | {"webhook-id": id} | signed))
    if settings.alert_slack is not None:
        posts.append((settings.alert_slack.get_secret_value(), orjson.dumps({"text": escaped(line(message))}), json))
    if posts:
        async with client or httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as http:
            for url, body, headers in posts:
                (await http.post(url, content=body, headers=headers)).raise_for_status()
    return len(posts)


def line(message: dict[str, Any]) -> str:
    """Return an alert as one line for people."""
    mark = "resolved" if message["type"] == "alert.resolved" else message["data"].get("severity", "warning")
    return f"[{mark}] {message['data']['alert']}: {message['data']['summary']}"


def escaped(text: str) -> str:
    """Return a text that Slack shows as it is: no mention of everybody, no link with another name.

    Source: Slack's "Formatting text for app surfaces", section "Escaping text".
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def signature(id: str, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers that sign a body (Standard Webhooks, symmetric: `v1`); `timestamp` in seconds."""
    text = secret.removeprefix("whsec_")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = secret.encode()
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")
    made = base64.b64encode(digest).decode()
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{made}"}
