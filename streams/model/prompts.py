"""Prompts as files beside the code that uses them, named by their content, so that a changed word is a changed call."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Prompt:
    """The system prompt in `path`, read when first used: a missing file is an OSError there, not at import."""

    path: Path

    @classmethod
    def beside(cls, module_file: str, name: str) -> Prompt:
        """Return the prompt `prompts/<name>.md` in the folder of the module that passes its `__file__`."""
        return cls(Path(module_file).parent / "prompts" / f"{name}.md")

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @cached_property
    def text(self) -> str:
        """The prompt, without blanks around it."""
        return self.path.read_text(encoding="utf-8").strip()

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits of the content's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """Return the text, so that a prompt may stand wherever its text may."""
        return self.text
