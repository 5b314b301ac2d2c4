"""Compiles user functions again so that a test sees what they ask of clock, chance, environment and order of sets.

The source of a module is parsed whole: names, closures and line numbers stay as they are. The functions get their own
code back when the test is over.
"""

from __future__ import annotations

import ast
import builtins
import linecache
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from streams.testing.user_functions import codes_of

if TYPE_CHECKING:
    from streams.testing.impurity import Hooks

CALL: Final = "__streams_torture_call__"
ORDER: Final = "__streams_torture_order__"
MAPPING: Final = "__streams_torture_mapping__"
TURN: Final = "__streams_torture_turn__"
BEGIN: Final = "__streams_torture_begin__"

_Key = tuple[str, int]  # name and first line of a function


@contextmanager
def instrumented(functions: Iterable[FunctionType], roots: Iterable[Any], hooks: Hooks) -> Iterator[list[str]]:
    """Compile functions again so that they ask the hooks; yield the names of those whose source cannot be found."""
    begins = {_key(fn.__code__) for fn in roots}
    before: list[tuple[FunctionType, CodeType]] = []
    unread: list[str] = []
    compiled: dict[str, dict[_Key, list[CodeType]]] = {}
    for fn in functions:
        file = fn.__code__.co_filename
        if file not in compiled:
            compiled[file] = _compiled(file, begins, hooks)
        alike = [code for code in compiled[file].get(_key(fn.__code__), ()) if _fits(code, fn.__code__)]
        if alike:
            before.append((fn, fn.__code__))
        else:
            unread.append(fn.__qualname__)
    given = {CALL: hooks.call, ORDER: hooks.order, MAPPING: hooks.mapping, TURN: hooks.turn, BEGIN: hooks.begin}
    vars(builtins).update(given)
    try:
        for fn, old in before:
            fn.__code__ = next(code for code in compiled[old.co_filename][_key(old)] if _fits(code, old))
        yield unread
    finally:
        for fn, old in before:
            fn.__code__ = old
        for name in given:
            del vars(builtins)[name]


def _key(code: CodeType) -> _Key:
    return code.co_qualname, code.co_firstlineno


def _fits(new: CodeType, old: CodeType) -> bool:
    """Return whether the code of a file is that of a function: the file may have changed since it was imported."""
    return (new.co_freevars, new.co_varnames[: new.co_argcount], new.co_flags) == (
        old.co_freevars,
        old.co_varnames[: old.co_argcount],
        old.co_flags,
    )


def _compiled(file: str, begins: set[_Key], hooks: Hooks) -> dict[_Key, list[CodeType]]:
    """Return the functions of a file with hooks in them; none if it has no readable source."""
    source = "".join(linecache.getlines(file))
    try:
        tree = ast.parse(source, file)
    except (SyntaxError, ValueError):
        return {}
    changed = ast.fix_missing_locations(_Instrumenter(file, begins, hooks).visit(tree))
    found: dict[_Key, list[CodeType]] = {}
    for code in codes_of(compile(changed, file, "exec", dont_inherit=True)):
        found.setdefault(_key(code), []).append(code)
    return found


class _Instrumenter(ast.NodeTransformer):
    """Puts a hook around the function of each call, around what is iterated over, and at the begin of an agent."""

    def __init__(self, file: str, begins: set[_Key], hooks: Hooks) -> None:
        self._file = file
        self._lines = {line for _, line in begins}
        self._hooks = hooks

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Ask which function to call."""
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id == "super"):
            node.func = self._hook(CALL, node.func, node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Ask which environment to read."""
        self.generic_visit(node)
        named = getattr(node.value, "attr", None) or getattr(node.value, "id", None)
        if isinstance(node.ctx, ast.Load) and named == "environ":
            node.value = self._hook(MAPPING, node.value, node)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        """Ask in which order to go through it."""
        self.generic_visit(node)
        node.iter = self._hook(ORDER, node.iter, node.iter)
        node.body.insert(0, self._turn(node))
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Ask whether to go on."""
        self.generic_visit(node)
        node.body.insert(0, self._turn(node))
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Ask in which order to go through it."""
        self.generic_visit(node)
        if not node.is_async:
            node.iter = self._hook(ORDER, node.iter, node.iter)
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        """Ask in which order to take it apart."""
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = self._hook(ORDER, node.value, node.value)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Note that a run begins, if it is an agent's function."""
        line = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        self.generic_visit(node)
        if line in self._lines:
            begin = ast.Expr(ast.Call(ast.Name(BEGIN, ast.Load()), [], []))
            at = 1 if ast.get_docstring(node, clean=False) is not None else 0
            node.body.insert(at, ast.copy_location(begin, node.body[0]))
        return node

    def _turn(self, node: ast.For | ast.While) -> ast.stmt:
        number = self._hooks.place((self._file, node.lineno))
        asked = ast.Call(ast.Name(TURN, ast.Load()), [ast.Constant(number)], [])
        return ast.copy_location(ast.Expr(asked), node)

    def _hook(self, name: str, value: ast.expr, place: ast.expr) -> ast.expr:
        number = self._hooks.place((self._file, place.lineno))
        asked = ast.Call(ast.Name(name, ast.Load()), [ast.Constant(number), value], [])
        return ast.copy_location(asked, value)
