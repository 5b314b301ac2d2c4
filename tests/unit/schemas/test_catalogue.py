"""Discovery of events in packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.avro.derive import avro_schema
from schemas.catalogue import event_class, events
from schemas.errors import SchemaError
from schemas.github import GithubEvent, GithubIssueOpened
from schemas.run import RunSubmitted
from schemas.slack import SlackEvent


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **modules: str) -> str:
    (folder / name).mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    return name


EVENT = 'from schemas import Event\nclass {name}(Event, type="{type}"):\n    a: int\n'


def test_our_own_events_are_found() -> None:
    found = events()
    assert found["run.submitted"] is RunSubmitted
    assert all(name == cls.event_type for name, cls in found.items())


def test_a_users_events_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, "theirs_one", tickets=EVENT.format(name="Opened", type="theirs.opened"))
    assert events(["schemas", name])["theirs.opened"].__module__ == "theirs_one.tickets"


def test_one_type_declared_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = EVENT.format(name="Opened", type="theirs.opened")
    name = package(tmp_path, monkeypatch, "theirs_two", one=text, two=text)
    with pytest.raises(SchemaError, match=r"declared twice.*theirs_two\.one.*theirs_two\.two"):
        events([name])


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, "theirs_three", bad="import no_such_module_at_all")
    with pytest.raises(SchemaError, match=r"theirs_three\.bad.*no_such_module_at_all"):
        events([name])


def test_other_github_deliveries_share_one_class_and_schema() -> None:
    found = event_class(events(), "github.star.created")
    assert found is event_class(events(), "github.star.created")
    assert found is not None
    assert issubclass(found, GithubEvent)
    assert found.event_type == "github.star.created"
    assert avro_schema(found) == avro_schema(GithubEvent)


def test_so_do_other_deliveries_of_slack() -> None:
    found = event_class(events(), "slack.reaction_added")
    assert found is not None
    assert issubclass(found, SlackEvent)


@pytest.mark.parametrize("name", ["github", "github.", "slack.No Such", "elsewhere.happened"])
def test_what_no_class_can_have_as_its_type_has_none(name: str) -> None:
    assert event_class(events(), name) is None


def test_a_known_type_is_itself_and_an_unknown_one_is_none() -> None:
    assert event_class(events(), "github.issues.opened") is GithubIssueOpened
    assert event_class(events(), "no.such") is None
