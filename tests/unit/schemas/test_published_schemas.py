"""The published folder: complete, append-only, and closed to changes that old records would not survive."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, create_model

from schemas.avro.published_schemas import FOLDER, additions, check, load, publish, subject_of
from schemas.avro.registry import CONTENT_IDS, FileRegistry, content_id
from schemas.catalogue import PLAIN_RECORDS, events
from schemas.errors import IncompatibleError, SchemaError, UnknownSchemaError
from schemas.run import RunSubmitted
from tests.unit.schemas.models import Five


def version(**fields: tuple[type, object]) -> type[BaseModel]:
    return create_model("Thing", **fields)  # type: ignore[call-overload, no-any-return]


V1 = version(a=(str, ...))
V2 = version(a=(str, ...), b=(int, 0))
BAD = version(a=(int, ...))


def test_every_event_of_ours_is_published_and_every_file_has_its_class() -> None:
    assert check([*events().values(), *PLAIN_RECORDS]) == []


def test_ids_are_counted_from_one_and_unique() -> None:
    ids = [entry.id for entry in load(FOLDER)]
    assert ids == list(range(1, len(ids) + 1))


def test_publishing_twice_writes_once(tmp_path: Path) -> None:
    assert [path.name for path in publish([V1], tmp_path)] == ["thing.v1.avsc"]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert publish([V1], tmp_path) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert [path.name for path in publish([V1], tmp_path, dry_run=True)] == ["thing.v1.avsc"]
    assert list(tmp_path.iterdir()) == []


def test_a_grown_schema_gets_the_next_version_and_the_old_keeps_its_id(tmp_path: Path) -> None:
    publish([V1], tmp_path)
    assert check([V2], tmp_path) == ["thing is not published; run: streams schemas publish"]
    publish([V2], tmp_path)
    assert [(entry.id, entry.file) for entry in load(tmp_path)] == [(1, "thing.v1.avsc"), (2, "thing.v2.avsc")]
    assert FileRegistry(tmp_path).id_of(V1) == 1
    assert FileRegistry(tmp_path).id_of(V2) == 2


def test_an_incompatible_change_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    publish([V1], tmp_path)
    with pytest.raises(IncompatibleError, match=r"thing: thing.v1.avsc: a: was string, is long"):
        publish([Five, BAD], tmp_path)
    assert len(load(tmp_path)) == 1
    assert "was string, is long" in check([BAD], tmp_path)[0]


def test_a_change_is_compared_with_all_earlier_versions(tmp_path: Path) -> None:
    publish([V1], tmp_path)
    publish([V2], tmp_path)
    with pytest.raises(IncompatibleError, match=r"thing.v1.avsc: b: is new"):
        additions(load(tmp_path), [version(a=(str, ...), b=(int, ...))])


def test_stray_and_orphaned_files_are_reported(tmp_path: Path) -> None:
    publish([V1], tmp_path)
    (tmp_path / "stray.avsc").write_text("{}")
    assert check([], tmp_path) == ["thing.v1.avsc belongs to no class", "stray.avsc is not in index.json"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    publish([V1], tmp_path)
    (tmp_path / "thing.v1.avsc").write_text("{")
    with pytest.raises(SchemaError, match=r"thing\.v1\.avsc"):
        load(tmp_path)


def test_subjects_are_event_types_or_names() -> None:
    assert subject_of(RunSubmitted) == "run.submitted"
    assert [subject_of(model) for model in PLAIN_RECORDS] == ["journal_entry", "parked_event", "schedule_state"]


def test_unpublished_models_have_ids_of_their_content_that_fit_a_signed_integer(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    number = registry.id_of(V1)
    assert CONTENT_IDS <= number < 2**31
    assert number == FileRegistry(tmp_path).id_of(V1) == content_id(registry.schema_of(number))
    assert number != registry.id_of(V2)


def test_what_was_written_before_publishing_stays_readable(tmp_path: Path) -> None:
    before = FileRegistry(tmp_path).id_of(V1)
    publish([V1], tmp_path)
    after = FileRegistry(tmp_path)
    assert after.schema_of(before) == after.schema_of(after.id_of(V1))


def test_a_users_folder_keeps_earlier_versions_readable(tmp_path: Path) -> None:
    publish([V1], tmp_path / "theirs")
    registry = FileRegistry(tmp_path / "ours", [V2], folders=[tmp_path / "theirs"])
    assert registry.schema_of(FileRegistry(tmp_path / "none").id_of(V1))["fields"][0]["name"] == "a"


def test_an_unknown_id_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownSchemaError, match="streams schemas publish"):
        FileRegistry(tmp_path).schema_of(5)
