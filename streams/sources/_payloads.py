"""What GitHub's signature, which covers the body alone, proves of a delivery: the event that its payload can be.

`X-GitHub-Event` and `X-GitHub-Delivery` are not signed: whoever has captured one delivery can send its body again as
another event and under any id. So the payload must fit the event's name, and the digest of the body identifies it.
Sources: docs.github.com, "Webhook events and payloads"; the examples of @octokit/webhooks-examples 7.6.1.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "check_run": ("check_run",),
    "check_suite": ("check_suite",),
    "commit_comment": ("comment",),
    "deployment": ("deployment",),
    "deployment_status": ("deployment", "deployment_status"),
    "discussion": ("discussion",),
    "discussion_comment": ("discussion", "comment"),
    "issue_comment": ("issue", "comment"),
    "issues": ("issue",),
    "pull_request": ("pull_request",),
    "pull_request_review": ("pull_request", "review"),
    "pull_request_review_comment": ("pull_request", "comment"),
    "pull_request_review_thread": ("pull_request", "thread"),
    "push": ("commits",),
    "release": ("release",),
    "workflow_job": ("workflow_job",),
    "workflow_run": ("workflow_run",),
}
"""Members without which a payload is not of the event."""

_OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "deployment": ("workflow_run",),
    "deployment_protection_rule": ("deployment",),
    "deployment_review": ("workflow_run", "comment"),
    "deployment_status": ("check_run", "workflow_run"),
    "workflow_job": ("deployment",),
}
"""Members of other events that the event may have as well."""

_PLAIN: Final = frozenset(
    {
        "branch_protection_rule",
        "code_scanning_alert",
        "create",
        "delete",
        "dependabot_alert",
        "deploy_key",
        "fork",
        "github_app_authorization",
        "gollum",
        "installation",
        "installation_repositories",
        "label",
        "marketplace_purchase",
        "member",
        "membership",
        "merge_group",
        "meta",
        "milestone",
        "organization",
        "org_block",
        "package",
        "page_build",
        "ping",
        "project",
        "project_card",
        "project_column",
        "projects_v2_item",
        "public",
        "repository",
        "repository_dispatch",
        "repository_import",
        "repository_vulnerability_alert",
        "security_advisory",
        "sponsorship",
        "star",
        "status",
        "team",
        "team_add",
        "watch",
        "workflow_dispatch",
    }
)
"""Events that have none of these members."""

_SUBJECTS: Final = frozenset(member for members in _REQUIRED.values() for member in members)
_KNOWN: Final = _PLAIN | _REQUIRED.keys() | _OPTIONAL.keys()

_DATED: Final = _SUBJECTS | {"alert", "forkee", "merge_group", "milestone", "package", "security_advisory"}
"""Members with times or revisions of their own: two deliveries about them are never equal in every byte."""

_REPEATABLE: Final = frozenset({"rerequested", "requested_action"})
"""Actions that somebody may repeat without any change of what the payload shows."""


def disagreement(event: str, payload: Mapping[str, Any]) -> str | None:
    """Return why a payload cannot be of the event that the header names; None if it can, or the event is not known."""
    members = _SUBJECTS & payload.keys()
    required = _REQUIRED.get(event, ())
    if missing := [member for member in required if member not in members]:
        return f"X-GitHub-Event is {event}, but the payload has no {missing[0]}"
    foreign = members.difference(required, _OPTIONAL.get(event, ()))
    if foreign and event in _KNOWN:
        return f"X-GitHub-Event is {event}, but the payload is about {min(foreign)}"
    return None


def body_id(body: bytes, payload: Mapping[str, Any]) -> str | None:
    """Return the digest that identifies a signed body, None where GitHub may send an equal one for another event.

    A `repository_dispatch`, for example, shows only what its sender chose, and a `membership` has no time: an equal
    body is then no proof of a repeat, and dropping it would lose an event.
    """
    if payload.get("action") in _REPEATABLE or not _DATED & payload.keys():
        return None
    return hashlib.sha256(body).hexdigest()[:32]
