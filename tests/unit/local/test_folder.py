"""A state folder has one pipeline at a time, and tells others where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.local.errors import AlreadyRunningError
from streams.local.folder import Pipeline, StateFolder, running

HERE = Pipeline(os.getpid(), "127.0.0.1:9092", "http://127.0.0.1:8000", None)


def test_a_second_pipeline_on_the_folder_is_told_who_has_it(tmp_path: Path) -> None:
    second = StateFolder(tmp_path)
    with StateFolder(tmp_path), pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}.*STREAMS_STATE_DIR"):
        second.__enter__()
    with second:
        pass


def test_others_read_where_it_listens_only_while_it_runs(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    with StateFolder(tmp_path) as folder:
        assert running(tmp_path) is None
        folder.announce(HERE)
        assert running(tmp_path) == HERE
    assert running(tmp_path) is None


def test_the_addresses_that_a_crash_left_behind_do_not_count(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as folder:
        folder.announce(HERE)
        left = (tmp_path / "pipeline.json").read_bytes()
    (tmp_path / "pipeline.json").write_bytes(left)
    assert running(tmp_path) is None


def test_reset_removes_everything_but_the_hold_on_the_folder(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "log").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    with StateFolder(tmp_path) as folder:
        folder.reset()
        assert [path.name for path in tmp_path.iterdir()] == ["pipeline.lock"]
        with pytest.raises(AlreadyRunningError):
            StateFolder(tmp_path).__enter__()


def test_reset_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    with StateFolder(tmp_path / "state") as folder:
        (folder.path / "link").symlink_to(outside)
        folder.reset()
    assert (outside / "kept").is_file()


def test_others_cannot_look_into_the_folder(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "new" / "state") as made:
        assert made.path.stat().st_mode & 0o077 == 0


def test_a_folder_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    old = tmp_path / "state"
    old.mkdir(mode=0o755)
    old.chmod(0o775)
    with StateFolder(old):
        assert old.stat().st_mode & 0o777 == 0o770
