"""What is known of a repository's issues: opened as GitHub says it, triaged as the agent decided."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas import Event
from schemas.github import GithubIssueClosed, GithubIssueOpened
from schemas.tickets import IssueTriaged
from streams import table

MOST = 200  # the newest tickets of a repository; a row is one record and must not grow for ever


class Ticket(BaseModel):
    """One issue: `status` is opened, triaged or closed."""

    number: int
    status: str = "opened"
    title: str = ""
    author: str = ""
    url: str = ""
    priority: str | None = None
    area: str | None = None
    summary: str = ""
    run_id: str | None = None


class Tickets(BaseModel):
    """All tickets of a repository by number, and how many there have been."""

    repository: str
    opened: int = 0
    triaged: int = 0
    closed: int = 0
    tickets: dict[str, Ticket] = Field(default_factory=dict)


@table(of=[GithubIssueOpened, IssueTriaged, GithubIssueClosed], row=Tickets)
def tickets(row: Tickets | None, event: Event) -> Tickets | None:
    """Fold an issue's life into its repository's row."""
    if not isinstance(event, GithubIssueOpened | IssueTriaged | GithubIssueClosed):
        return row
    before = row or Tickets(repository=event.repository)
    ticket = before.tickets.get(str(event.number)) or Ticket(number=event.number)
    match event:
        case GithubIssueOpened():
            known = {"title": event.title, "author": event.author, "url": event.url}
            after, counted = ticket.model_copy(update=known), {"opened": before.opened + 1}
        case IssueTriaged():
            verdict = event.model_dump(include={"priority", "area", "summary", "run_id"})
            after, counted = ticket.model_copy(update={**verdict, "status": "triaged"}), {"triaged": before.triaged + 1}
        case GithubIssueClosed():
            after, counted = ticket.model_copy(update={"status": "closed"}), {"closed": before.closed + 1}
    newest = dict(sorted({**before.tickets, str(event.number): after}.items(), key=lambda item: int(item[0]))[-MOST:])
    return before.model_copy(update={**counted, "tickets": newest})
