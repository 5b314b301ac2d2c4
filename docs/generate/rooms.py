"""The rooms of the code: their layers, sizes and imports, and what each package says of itself."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grimp

from docs.generate.markdown import code, one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
INTRODUCTION: Final = """# Rooms

The packages and modules of the code, in layers. A module imports from lower layers only; those on one line do not
import each other, except where `:` stands between them. `lint-imports` holds it, by the contract in `pyproject.toml`
from which this page is made. [Architecture](../explanation/architecture.md) explains the rooms.

"""

ARCHITECTURE: Final = ROOT / "docs/explanation/architecture.md"
BEGIN: Final = "<!-- Generated from the imports by `python -m docs.generate`: begin -->\n"
END: Final = "<!-- Generated from the imports: end -->\n"
GROUPS: Final = {
    "shipped": ("agents", "reactions", "sources", "schedules", "tables"),
    "app": ("app", "examples"),
    "cli": ("cli", "console", "__main__"),
}
"""Rooms that the figure shows as one; all other modules beside the packages are the room `base`."""


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


def architecture() -> str:
    """Return the page Architecture with the figure of the rooms as they are now."""
    before, _, rest = ARCHITECTURE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + figure() + END + after


def figure() -> str:
    """Return the rooms with their share of the lines, and their imports without those that follow from others."""
    imports, lines = _imports(), _lines()
    total = sum(lines.values())
    nodes = [f'    {room}["{room}<br/>{_share(lines[room] / total)}"]\n' for room in sorted(lines)]
    arrows = [f"    {one} --> {other}\n" for one in sorted(imports) for other in sorted(_direct(one, imports))]
    return "```mermaid\nflowchart TD\n" + "".join(nodes + arrows) + "```\n"


def _share(part: float) -> str:
    return f"{part:.0%}" if part >= 0.01 else "below 1%"


def _imports() -> dict[str, set[str]]:
    """Return the rooms that each room imports at run time."""
    graph = grimp.build_graph("schemas", "topics", "streams", exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = defaultdict(set)
    for module in graph.modules - {"streams"}:
        for other in graph.find_modules_directly_imported_by(module) - {"streams"}:
            if _room(other) != _room(module):
                found[_room(module)].add(_room(other))
    return found


def _direct(room: str, imports: dict[str, set[str]]) -> set[str]:
    """Return the rooms that `room` imports and that none of its other imports reaches."""
    return imports[room] - {far for near in imports[room] for far in _below_room(near, imports)}


def _below_room(room: str, imports: dict[str, set[str]]) -> set[str]:
    near = imports.get(room, set())
    return near | {far for one in near for far in _below_room(one, imports)}


def _lines() -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for package in ("streams", "topics", "schemas"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[_room(module)] += len(path.read_text("utf-8").splitlines())
    return found


def _room(module: str) -> str:
    """Return the room of a module: a package below `streams`, a group, or a package of its own."""
    package, _, rest = module.partition(".")
    if package != "streams":
        return package
    name = rest.partition(".")[0]
    for group, names in GROUPS.items():
        if name in names:
            return group
    return name if (ROOT / "streams" / name).is_dir() and name else "base"
