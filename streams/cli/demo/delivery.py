"""A delivery as GitHub sends it when somebody opens an issue: its headers, its body and its signature."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import NamedTuple

import orjson

from schemas.attributes import rfc3339
from streams.clock import now_ms

REPOSITORY = "octo-shop/checkout"
NUMBER = 4711
TITLE = "Payments are charged twice after a restart"


class SignedDelivery(NamedTuple):
    """What goes over the wire."""

    body: bytes
    headers: dict[str, str]


def issue_opened(secret: str, links: list[str]) -> SignedDelivery:
    """Return a signed `issues` delivery whose issue links to `links`.

    Signed as GitHub does it: HMAC-SHA256 of the body in `X-Hub-Signature-256`.
    """
    body = orjson.dumps(_payload(links))
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/2f8c9aa",
        "x-github-event": "issues",
        "x-github-delivery": str(uuid.uuid4()),
        "x-github-hook-id": "524718603",
        "x-hub-signature-256": f"sha256={signature}",
    }
    return SignedDelivery(body, headers)


def _payload(links: list[str]) -> dict[str, object]:
    url, at = f"https://github.com/{REPOSITORY}", rfc3339(now_ms())
    owner, name = REPOSITORY.split("/")
    text = f"Customers lose money since this morning. See {' and '.join(links)}"
    return {
        "action": "opened",
        "issue": {
            "id": 3141592653,
            "node_id": "I_kwDOExample",
            "number": NUMBER,
            "title": TITLE,
            "body": text,
            "state": "open",
            "locked": False,
            "comments": 0,
            "user": {"login": "mona", "id": 583231, "type": "User"},
            "labels": [{"id": 1, "name": "payments", "color": "d73a4a"}],
            "assignees": [],
            "html_url": f"{url}/issues/{NUMBER}",
            "url": f"https://api.github.com/repos/{REPOSITORY}/issues/{NUMBER}",
            "created_at": at,  # as with GitHub, no two deliveries have one body: an equal one is a repeat
            "updated_at": at,
            "author_association": "MEMBER",
        },
        "repository": {
            "id": 1296269,
            "name": name,
            "full_name": REPOSITORY,
            "private": False,
            "owner": {"login": owner, "id": 9919, "type": "Organization"},
            "html_url": url,
            "default_branch": "main",
        },
        "organization": {"login": owner, "id": 9919},
        "sender": {"login": "mona", "id": 583231, "type": "User"},
    }
