"""GitHub's deliveries: each becomes `github.<event>.<action>`, the common ones with fields of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from pydantic import ValidationError

from schemas import Event
from schemas.errors import SchemaError
from schemas.github import (
    GithubIssueClosed,
    GithubIssueCommentCreated,
    GithubIssueEdited,
    GithubIssueLabeled,
    GithubIssueOpened,
    GithubPinged,
    GithubPullRequestClosed,
    GithubPullRequestOpened,
    GithubPushed,
    GithubReleasePublished,
    GithubWorkflowRunCompleted,
    github_event,
)
from schemas.json_text import parse_json
from streams import Delivery, Reject, hmac_sha256, source
from streams.define.sources import json_body
from streams.sources._payloads import body_id, disagreement

if TYPE_CHECKING:
    from collections.abc import Callable

Payload = dict[str, Any]

_ODD = re.compile(r"[^a-z0-9_-]+|-(?=-)")


def signed_id(delivery: Delivery) -> str | None:
    """Return what the signed body identifies, since the header with the delivery's id is not signed."""
    return body_id(delivery.body, _payload(delivery))


@source(
    verify=hmac_sha256("x-hub-signature-256", prefix="sha256="),
    once_per="x-github-delivery",
    signed_id=signed_id,
    keep=("x-github-event", "x-github-hook-id"),
)
def github(delivery: Delivery) -> Event:
    """Turn a delivery into its event; what has no class of its own has its payload as it came."""
    payload = _payload(delivery)
    name = delivery.headers.get("x-github-event", "")
    if (why := disagreement(name, payload)) is not None:
        raise Reject(why)
    action = payload.get("action")
    event_type = f"github.{name}.{_word(action)}" if isinstance(action, str) and action else f"github.{name}"
    common = {
        "repository": _repository(payload),
        "action": action if isinstance(action, str) else "",
        "sender": _text(_part(payload, "sender"), "login"),
    }
    typed = _TYPED.get(event_type)
    if typed is not None:
        kind, fields = typed
        try:
            return kind(**common, **fields(payload))
        except ValidationError as error:
            message = f"the payload is no {event_type}: {error.errors(include_url=False)[0]['loc']} does not fit"
            raise Reject(message) from None
    try:
        kind = github_event(event_type)
    except SchemaError:
        message = "X-GitHub-Event must name an event, in lower-case letters, digits and underscores"
        raise Reject(message) from None
    return kind(**common, payload=payload)


def _word(action: str) -> str:
    """Return an action as part of a type; that of a `repository_dispatch` is any text that its sender chose."""
    return _ODD.sub("_", action.lower())[:100].strip("-") or "_"


def _payload(delivery: Delivery) -> Payload:
    """Return the JSON, which GitHub sends as the body or, if the webhook is set up so, in a form's field."""
    if delivery.body.startswith(b"payload="):
        found = parse_qs(delivery.body.decode("utf-8", "replace")).get("payload", [""])[0]
        try:
            payload = parse_json(found)
        except ValueError:
            message = "the form has no field payload with JSON"
            raise Reject(message) from None
    else:
        payload = json_body(delivery)
    if not isinstance(payload, dict):
        message = "the payload must be a JSON object"
        raise Reject(message)
    return payload


def _repository(payload: Payload) -> str:
    """Return what it is about: a repository, else the organisation, the installation's account, or the sender."""
    if name := _text(_part(payload, "repository"), "full_name"):
        return name
    if login := _text(_part(payload, "organization"), "login"):
        return login
    installation = _part(payload, "installation")
    if account := _text(_part(installation, "account"), "login"):
        return account
    if (number := installation.get("id")) is not None:
        return f"installation/{number}"
    return _text(_part(payload, "sender"), "login")


def _part(payload: Payload, name: str) -> Payload:
    found = payload.get(name)
    return found if isinstance(found, dict) else {}


def _text(payload: Payload, name: str) -> str:
    found = payload.get(name)
    return found if isinstance(found, str) else ""


def _issue(payload: Payload) -> Payload:
    issue = _part(payload, "issue")
    labels = issue.get("labels")
    return {
        "number": issue.get("number"),
        "title": issue.get("title"),
        "body": _text(issue, "body"),
        "author": _text(_part(issue, "user"), "login"),
        "url": _text(issue, "html_url"),
        "state": _text(issue, "state") or "open",
        "labels": [_text(label, "name") for label in labels if isinstance(label, dict)]
        if isinstance(labels, list)
        else [],
    }


def _labeled(payload: Payload) -> Payload:
    return {**_issue(payload), "label": _text(_part(payload, "label"), "name")}


def _comment(payload: Payload) -> Payload:
    comment = _part(payload, "comment")
    return {
        "number": _part(payload, "issue").get("number"),
        "comment_id": comment.get("id"),
        "body": _text(comment, "body"),
        "author": _text(_part(comment, "user"), "login"),
        "url": _text(comment, "html_url"),
    }


def _pull_request(payload: Payload) -> Payload:
    found = _part(payload, "pull_request")
    return {
        "number": found.get("number"),
        "title": found.get("title"),
        "body": _text(found, "body"),
        "author": _text(_part(found, "user"), "login"),
        "url": _text(found, "html_url"),
        "head": _text(_part(found, "head"), "ref"),
        "base": _text(_part(found, "base"), "ref"),
        "draft": found.get("draft") is True,
    }


def _pull_request_closed(payload: Payload) -> Payload:
    return {**_pull_request(payload), "merged": _part(payload, "pull_request").get("merged") is True}


def _push(payload: Payload) -> Payload:
    return {
        "ref": payload.get("ref"),
        "before": _text(payload, "before"),
        "after": _text(payload, "after"),
        "commits": payload.get("commits"),
    }


def _ping(payload: Payload) -> Payload:
    return {"zen": _text(payload, "zen"), "hook_id": payload.get("hook_id")}


def _release(payload: Payload) -> Payload:
    release = _part(payload, "release")
    return {
        "tag": release.get("tag_name"),
        "name": _text(release, "name"),
        "body": _text(release, "body"),
        "url": _text(release, "html_url"),
        "prerelease": release.get("prerelease") is True,
    }


def _workflow(payload: Payload) -> Payload:
    found = _part(payload, "workflow_run")
    return {
        "workflow": _text(found, "name") or _text(_part(payload, "workflow"), "name"),
        "number": found.get("run_number") or 0,
        "conclusion": _text(found, "conclusion"),
        "branch": _text(found, "head_branch"),
        "commit": _text(found, "head_sha"),
        "url": _text(found, "html_url"),
    }


_TYPED: dict[str, tuple[type[Event], Callable[[Payload], Payload]]] = {
    GithubIssueOpened.event_type: (GithubIssueOpened, _issue),
    GithubIssueClosed.event_type: (GithubIssueClosed, _issue),
    GithubIssueEdited.event_type: (GithubIssueEdited, _issue),
    GithubIssueLabeled.event_type: (GithubIssueLabeled, _labeled),
    GithubIssueCommentCreated.event_type: (GithubIssueCommentCreated, _comment),
    GithubPullRequestOpened.event_type: (GithubPullRequestOpened, _pull_request),
    GithubPullRequestClosed.event_type: (GithubPullRequestClosed, _pull_request_closed),
    GithubPushed.event_type: (GithubPushed, _push),
    GithubPinged.event_type: (GithubPinged, _ping),
    GithubReleasePublished.event_type: (GithubReleasePublished, _release),
    GithubWorkflowRunCompleted.event_type: (GithubWorkflowRunCompleted, _workflow),
}
