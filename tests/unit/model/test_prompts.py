"""Prompts in files."""

from __future__ import annotations

from pathlib import Path

from streams.model.prompts import Prompt


def test_a_prompt_is_read_when_used_and_named_by_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    prompt = Prompt.beside(str(tmp_path / "agent.py"), "greet")
    folder.mkdir()
    (folder / "greet.md").write_text("\nSay hello.\n")
    assert (prompt.name, prompt.text, str(prompt)) == ("greet", "Say hello.", "Say hello.")
    (folder / "other.md").write_text("Say hello!")
    other = Prompt(folder / "other.md")
    assert len(prompt.digest) == 16
    assert prompt.digest != other.digest
