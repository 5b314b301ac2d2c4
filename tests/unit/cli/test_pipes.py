"""Commands in pipes: a reader that stops early is no failure, and a group without a command shows only its help."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streams.cli.main import main

STREAMS = [sys.executable, "-m", "streams"]


def test_a_reader_that_stops_early_is_no_failure() -> None:
    with subprocess.Popen([*STREAMS, "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (0, b"")


@pytest.mark.parametrize("group", ["workers", "topics", "runs"])
def test_a_group_alone_shows_its_help_and_no_empty_error(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([group])
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert "Usage" in shown.out + shown.err
    assert "streams:" not in shown.err
