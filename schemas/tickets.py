"""What triage decides about an issue."""

from schemas.event import Event


class IssueTriaged(Event, type="issue.triaged", key="repository"):
    """An issue was given a priority and an area; ``run_id`` is the run that decided."""

    repository: str
    number: int
    priority: str
    area: str = ""
    summary: str = ""
    run_id: str | None = None
