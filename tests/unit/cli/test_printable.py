"""Data of others cannot steer the terminal or forge a line of a log."""

from __future__ import annotations

import logging

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.follow import describe
from streams.cli.io.client import ServerEvent
from streams.cli.io.options import OutputFormat
from streams.cli.io.output import console, print_record, to_json
from streams.printable import block, json_text, one_line
from streams.telemetry import _Text

ATTACKS = (
    "\x1b]52;c;ZXZpbA==\x07",  # OSC 52: sets the clipboard
    "\x9b31m",  # CSI as one C1 character
    "\x1b[2J\x1b[H",
    "\r\x1b[Kforged",
    "\u202eevil",
)


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not any((ord(char) < 0x20 and char != "\t") or 0x7F <= ord(char) < 0xA0 for char in one_line(text))
    assert not any((ord(char) < 0x20 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0 for char in block(text))


@given(st.text())
def test_json_keeps_its_value(text: str) -> None:
    made = json_text(orjson.dumps({text: [text]}).decode())
    assert orjson.loads(made) == {text: [text]}
    assert not any(0x7F <= ord(char) < 0xA0 for char in made)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_record_shows_escapes(attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_record({"name": f"a{attack}b"}, OutputFormat.TEXT)
    console().print(f"plain {attack}")
    print(to_json({"x": attack}))
    shown = capsys.readouterr().out
    assert not any(
        (ord(char) < 0x20 and char != "\n") or 0x7F <= ord(char) < 0xA0 or char == "\u202e" for char in shown
    )


@pytest.mark.parametrize("name", ["status", "done", "progress", "step", "token"])
def test_an_event_that_is_followed_is_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[link=http://evil]x[/link] [/]"
    event = ServerEvent("1", name, {"status": hostile, "message": hostile, "kind": hostile, "name": hostile})
    console().print(describe(event))
    assert "[link=http://evil]" in capsys.readouterr().out


def test_a_message_is_one_line_of_the_log() -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "got %s", ("x\n12:00:00.000 forged\x1b[0m",), None)
    assert "\n" not in _Text().format(record)
    assert "\x1b" not in _Text().format(record)
