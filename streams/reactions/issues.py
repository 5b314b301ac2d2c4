"""Starts triage for every new issue, whichever way it came in."""

from __future__ import annotations

from schemas.github import GithubIssueOpened
from streams import StartRun, on
from streams.agents.triage import Issue, triage


@on(GithubIssueOpened)
async def triage_issue(event: GithubIssueOpened) -> StartRun:
    """Start one triage for an issue; its id is made of the event's, so that a repeated event starts nothing new."""
    return StartRun(triage, Issue(repository=event.repository, number=event.number, title=event.title, body=event.body))
