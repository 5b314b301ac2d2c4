"""GitHub's webhooks: the common deliveries with fields of their own, every other one with its payload as it came."""

from functools import lru_cache

from pydantic import Field

from schemas.event import Event
from schemas.values import Json


class _AboutRepository(Event, key="repository"):
    """Fields that all share: ``repository`` is its full name, such as ``octo/hello``; ``sender`` a login."""

    repository: str
    action: str = ""
    sender: str = ""


class _AboutIssue(_AboutRepository):
    """An issue's state after the change; ``author`` is a login."""

    number: int
    title: str
    body: str = ""
    author: str = ""
    url: str = ""
    state: str = "open"
    labels: list[str] = Field(default_factory=list)


class GithubIssueOpened(_AboutIssue, type="github.issues.opened"):
    """An issue was opened."""


class GithubIssueClosed(_AboutIssue, type="github.issues.closed"):
    """An issue was closed."""


class GithubIssueEdited(_AboutIssue, type="github.issues.edited"):
    """An issue's title or text was changed."""


class GithubIssueLabeled(_AboutIssue, type="github.issues.labeled"):
    """A label, ``label``, was put on an issue."""

    label: str = ""


class GithubIssueCommentCreated(_AboutRepository, type="github.issue_comment.created"):
    """Somebody commented on an issue or pull request."""

    number: int
    comment_id: int
    body: str = ""
    author: str = ""
    url: str = ""


class _AboutPullRequest(_AboutRepository):
    """A pull request's state after the change; ``head`` and ``base`` are branch names."""

    number: int
    title: str
    body: str = ""
    author: str = ""
    url: str = ""
    head: str = ""
    base: str = ""
    draft: bool = False


class GithubPullRequestOpened(_AboutPullRequest, type="github.pull_request.opened"):
    """A pull request was opened."""


class GithubPullRequestClosed(_AboutPullRequest, type="github.pull_request.closed"):
    """A pull request was closed, by merging it or not."""

    merged: bool = False


class GithubPushed(_AboutRepository, type="github.push"):
    """Commits were pushed to ``ref``; ``before`` and ``after`` are commit ids."""

    ref: str
    before: str = ""
    after: str = ""
    commits: Json = None


class GithubPinged(_AboutRepository, type="github.ping"):
    """A webhook was set up; ``zen`` is GitHub's greeting. The repository is empty for an organisation's webhook."""

    zen: str = ""
    hook_id: int | None = None


class GithubReleasePublished(_AboutRepository, type="github.release.published"):
    """A release was published."""

    tag: str
    name: str = ""
    body: str = ""
    url: str = ""
    prerelease: bool = False


class GithubWorkflowRunCompleted(_AboutRepository, type="github.workflow_run.completed"):
    """A workflow of GitHub Actions ended; ``conclusion`` is success, failure, cancelled and so on."""

    workflow: str
    number: int = 0
    conclusion: str = ""
    branch: str = ""
    commit: str = ""
    url: str = ""


class GithubEvent(_AboutRepository, type="github.event"):
    """A delivery without a class of its own; ``payload`` is its JSON body."""

    payload: Json = None


@lru_cache(maxsize=1024)
def github_event(event_type: str) -> type[GithubEvent]:
    """Return the class for a type such as ``github.star.created`` that no class of this module declares.

    All of them share one schema, GithubEvent's; raises SchemaError for an ill-formed type.
    """

    class _GithubEventOfType(GithubEvent, type=event_type):
        __doc__ = GithubEvent.__doc__

    _GithubEventOfType.__name__ = _GithubEventOfType.__qualname__ = GithubEvent.__name__
    return _GithubEventOfType
