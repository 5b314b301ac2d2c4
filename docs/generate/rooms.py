"""The rooms of the code: the layers that import-linter holds, with what each package says of itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs.generate.markdown import code, one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
INTRODUCTION: Final = """# Rooms

The packages and modules of the code, in layers. A module imports from lower layers only; those on one line do not
import each other, except where `:` stands between them. `lint-imports` holds it, by the contract in `pyproject.toml`
from which this page is made. [Architecture](../explanation/architecture.md) explains the rooms.

"""


def page() -> str:
    """Return the page."""
    return INTRODUCTION + table(("layer", "room", "what it is"), [*_streams(), *_below()])


def _streams() -> Iterator[tuple[str, str, str]]:
    linted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    inside = next(one for one in linted["contracts"] if one.get("containers") == ["streams"])
    for number, layer in enumerate(inside["layers"], 1):
        for room in re.findall(r"\w+", layer):
            yield str(number), code(f"streams.{room}"), _doc(ROOT / "streams" / room)


def _below() -> Iterator[tuple[str, str, str]]:
    for name in ("topics", "schemas"):
        yield "below", code(name), _doc(ROOT / name)


def _doc(path: Path) -> str:
    """Return the first line of a package's or module's docstring; nothing for a room that is optional and absent."""
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text("utf-8"))) if file.exists() else None
    return one_line((doc or "").split("\n\n")[0])
