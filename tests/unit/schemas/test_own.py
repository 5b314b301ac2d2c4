"""A user's own schemas, kept in the user's own package."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, create_model

from schemas.avro.codec import Codec
from schemas.avro.own import folders, keep, missing, owned
from schemas.avro.registry import FileRegistry
from schemas.errors import IncompatibleError, UndecodableError

V1 = create_model("Ticket", a=(str, ...))
V2 = create_model("Ticket", a=(str, ...), b=(int, 7))
BAD = create_model("Ticket", a=(int, ...))


def codec(folder: Path, *models: type[BaseModel]) -> Codec:
    return Codec(FileRegistry(folder / "none", models, folders=[folder]))


def test_records_of_an_earlier_version_stay_readable_once_it_is_kept(tmp_path: Path) -> None:
    old = codec(tmp_path, V1).encode(V1.model_validate({"a": "x"}))
    with pytest.raises(UndecodableError, match="publish the schema"):
        codec(tmp_path, V2).decode(old, V2)
    assert len(keep([V1], tmp_path)) == 1
    assert codec(tmp_path, V2).decode(old, V2) == V2.model_validate({"a": "x"})


def test_a_process_that_goes_on_reads_what_newer_code_writes_as_soon_as_the_file_is_there(tmp_path: Path) -> None:
    going_on = codec(tmp_path, V1)
    new = codec(tmp_path, V2).encode(V2.model_validate({"a": "x", "b": 1}))
    with pytest.raises(UndecodableError):
        going_on.decode(new, V1)
    keep([V2], tmp_path)
    assert going_on.decode(new, V1) == V1.model_validate({"a": "x"})


def test_what_is_missing_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    assert [line.partition(" is not in ")[0] for line in missing([V1], tmp_path)] == ["ticket"]
    keep([V1], tmp_path)
    assert missing([V1], tmp_path) == []
    assert missing([BAD], tmp_path)[0].startswith("ticket: version ")


def test_models_belong_to_the_package_that_defines_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs_five").mkdir()
    (tmp_path / "theirs_five" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    theirs = create_model("Theirs", __module__="theirs_five.events", a=(str, ...))
    assert owned([V1, theirs], ["theirs_five.agents"]) == {tmp_path / "theirs_five" / "published": [theirs]}


def test_keeping_twice_writes_once_and_a_dry_run_nothing(tmp_path: Path) -> None:
    assert len(keep([V1], tmp_path / "new", dry_run=True)) == 1
    assert not (tmp_path / "new").exists()
    keep([V1], tmp_path / "new")
    assert keep([V1], tmp_path / "new") == []


def test_an_incompatible_change_is_refused(tmp_path: Path) -> None:
    keep([V1], tmp_path)
    keep([V2], tmp_path)
    with pytest.raises(IncompatibleError, match=r"ticket: version .*: a: was string, is long"):
        keep([BAD], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_folder_lies_in_the_top_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs_four" / "agents").mkdir(parents=True)
    (tmp_path / "theirs_four" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert folders(["theirs_four.agents", "theirs_four"]) == [tmp_path / "theirs_four" / "published"]
    assert folders(["no_such_package"]) == []
