"""Parts are connected by their constructors: nobody assigns an attribute of a part from outside.

A record (a dataclass, or a class with `__slots__`) holds the state of one run, batch or partition, and whoever works on
it changes it. Any other class is a part: its attributes are its own, so that a constructor's parameters show all that
it needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.house.files import ROOT, modules

pytestmark = pytest.mark.house

ROOMS: Final = ("streams/runtime/", "streams/journal/", "streams/limits/", "streams/worker/")
ASSEMBLY: Final = "streams/worker/main.py"
FOREIGN: Final = {
    "streams/runtime/faust/app.py: last.daemon",  # `threading.Timer` has no parameter for it
    "streams/runtime/faust/conductor.py: channel._streams_inbox",  # Faust makes its channels itself
    "streams/worker/http/app.py: self._server.should_exit",  # how uvicorn is told to stop
}


def _named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _assigned(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield the attributes of other objects that are assigned, and the lists of hooks there that are added to."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = [one for target in node.targets for one in getattr(target, "elts", [target])]
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            hooks = node.func.value
            targets = [hooks] if isinstance(hooks, ast.Attribute) and hooks.attr.startswith("on_") else []
        for one in targets:
            if isinstance(one, ast.Attribute) and not (isinstance(one.value, ast.Name) and one.value.id == "self"):
                yield one


def _fields_of_records() -> set[str]:
    names = set[str]()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names |= _fields(node)
    return names


def _fields(node: ast.ClassDef) -> set[str]:
    """Return the attributes of a record, none of another class."""
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return {
            one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
    slots = (
        one.value for one in node.body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "__slots__"
    )
    return {name for value in slots for name in ast.literal_eval(value)}


def test_no_attribute_of_a_part_is_assigned_from_outside() -> None:
    fields = _fields_of_records()
    found = [
        f"{_named(path)}: {ast.unparse(one)}"
        for path in modules()
        if _named(path).startswith(ROOMS)
        for one in _assigned(ast.parse(path.read_text("utf-8")))
        if one.attr not in fields
    ]
    assert sorted(set(found) - FOREIGN) == []


def test_the_assembly_has_no_lambda() -> None:
    tree = ast.parse((ROOT / ASSEMBLY).read_text("utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Lambda)] == []
