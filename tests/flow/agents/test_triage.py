"""An issue from its event to its verdict, in memory: real pages, a scripted model."""

from __future__ import annotations

from typing import Any

from schemas.bus import DataProcessed
from schemas.github import GithubIssueOpened
from schemas.tickets import IssueTriaged
from streams.agents.triage import Issue, Verdict, triage
from streams.model.errors import ModelBusyError, ModelRefusedError
from streams.model.scripted_model import ScriptedModel
from streams.reactions.issues import triage_issue
from tests.flow.agents._drive import drive
from tests.unit.tools._site import html, network, site

PAGE = html(
    "<html><head><title>Guide</title></head><body><article><p>Rows are flushed late.</p></article></body></html>"
)
VERDICT = Verdict(area="bug", priority="urgent", summary="Rows get lost.")


def issue(body: str = "", **more: Any) -> Issue:
    return Issue(repository="octo/hello", number=7, title="Rows get lost", body=body, **more)


async def test_linked_pages_are_read_and_the_verdict_is_told_to_everyone() -> None:
    model = ScriptedModel(VERDICT)
    async with site({"/a": PAGE, "/b": PAGE}) as (origin, _):
        with network(origin.removeprefix("http://")):
            ended = await drive(triage, issue(f"See {origin}/a, {origin}/gone.", urls=[f"{origin}/b"]), model)
    assert (ended.status, ended.error) == ("succeeded", None)
    assert ended.result == {
        "area": "bug",
        "priority": "urgent",
        "summary": "Rows get lost.",
        "repository": "octo/hello",
        "number": 7,
        "pages": [f"{origin}/b", f"{origin}/a"],
        "unread": [f"{origin}/gone"],
    }
    assert ended.progress == [10, 50, 90]
    processed, triaged = ended.events
    assert isinstance(processed, DataProcessed)
    assert (processed.source, processed.run_id) == ("octo/hello", "r1")
    assert triaged == IssueTriaged(
        repository="octo/hello", number=7, priority="urgent", area="bug", summary="Rows get lost.", run_id="r1"
    )
    asked = model.requests[0].messages[1].content
    assert "Rows are flushed late." in asked
    assert "Issue: Rows get lost." in asked


async def test_a_page_cannot_send_the_agent_into_a_private_network() -> None:
    """Links to inside places are refused one by one, and the issue is triaged all the same."""
    inside = ["http://169.254.169.254/latest", "http://localhost/admin", "http://10.0.0.1/"]
    with network():
        ended = await drive(triage, issue(urls=inside), ScriptedModel(VERDICT))
    assert ended.status == "succeeded"
    assert ended.result["unread"] == inside


async def test_links_that_are_no_urls_are_left_out() -> None:
    with network():
        ended = await drive(triage, issue("http://[bad and http:// too"), ScriptedModel(VERDICT))
    assert (ended.status, ended.result["unread"]) == ("succeeded", [])


async def test_a_busy_model_is_asked_again() -> None:
    with network():
        ended = await drive(triage, issue(), ScriptedModel(ModelBusyError("later", after=7), VERDICT))
    assert ended.status == "succeeded"
    assert ended.performed == ["llm Verdict", "llm Verdict"]


async def test_a_model_that_refuses_ends_the_run_as_failed() -> None:
    with network():
        ended = await drive(triage, issue(), ScriptedModel(ModelRefusedError("bad key")))
    assert (ended.status, ended.performed, ended.events) == ("failed", ["llm Verdict"], [])
    assert "bad key" in str(ended.error)


async def test_an_opened_issue_starts_its_triage() -> None:
    opened = GithubIssueOpened(repository="octo/hello", number=7, title="Rows get lost", body="Help")
    started = await triage_issue(opened)
    assert (started.agent, started.input) == (triage, issue("Help"))
