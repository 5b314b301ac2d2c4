"""Expressions over named values, for gates and for the choice of runs: parsed by Python, evaluated here, no calls."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.backtest.errors import ExpressionError

_LONGEST: Final = 500
_OPERATORS: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: Final[dict[type[ast.AST], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, among: value in among,
    ast.NotIn: lambda value, among: value not in among,
}
_NODES: Final = (
    ast.Expression,
    ast.BoolOp,
    ast.boolop,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.BinOp,
    ast.Compare,
    ast.cmpop,
    ast.operator,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.Attribute,
    ast.Subscript,
    ast.List,
    ast.Tuple,
)
BASELINE: Final = "baseline"


@dataclass(frozen=True, slots=True)
class Expression:
    """A text that was found to be an expression over known names."""

    text: str
    tree: ast.expr

    @classmethod
    def parse(cls, text: str, names: Iterable[str]) -> Expression:
        """Return the expression; raise ExpressionError for what is none, and for a name that is not among `names`."""
        tree = _parsed(text)
        known = sorted(names)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in known:
                raise ExpressionError(f"{text!r}: there is no {node.id!r}: there are {', '.join(known)}")
        return cls(text, tree)

    @classmethod
    def parse_gate(cls, text: str, measures: Collection[str]) -> Expression:
        """Return the expression of a gate, in which `baseline` alone is the baseline's value of the measure beside it.

        Raises ExpressionError as `parse` does, and where it is not clear which measure that is.
        """
        gate = cls.parse(text, [*measures, BASELINE])
        tree = _BaselineMeasure(text).visit(gate.tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr not in measures:
                raise ExpressionError(f"{text!r}: there is no measure {node.attr!r}: {', '.join(sorted(measures))}")
        return cls(text, tree)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the expression is true for `values`; a comparison with a value that there is not is false."""
        return bool(self._value(self.tree, values))

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return values.get(name)
            case ast.Attribute(value=inner, attr=name):
                return _member(self._value(inner, values), name)
            case ast.Subscript(inner, place):
                return _member(self._value(inner, values), self._value(place, values))
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return [self._value(part, values) for part in parts]
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._value(part, values) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._value(part, values) for part in parts)
        return self._computed(node, values)

    def _computed(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return not self._value(inner, values)
            case ast.UnaryOp(operand=inner):
                return -self._number(inner, values)
            case ast.BinOp(left=left, op=sign, right=right):
                return self._calculated(left, _OPERATORS[type(sign)], right, values)
            case ast.Compare(left=left, ops=signs, comparators=rest):
                sides = [self._value(side, values) for side in (left, *rest)]
                return all(
                    _compares(_COMPARISONS[type(sign)], one, other)
                    for sign, one, other in zip(signs, sides, sides[1:], strict=False)
                )
        raise ExpressionError(f"{self.text!r}: {ast.unparse(node)} is not possible here")

    def _calculated(
        self, left: ast.expr, sign: Callable[[Any, Any], Any], right: ast.expr, values: Mapping[str, Any]
    ) -> Any:
        try:
            return sign(self._number(left, values), self._number(right, values))
        except ZeroDivisionError:
            raise ExpressionError(f"{self.text!r}: {ast.unparse(right)} is 0, and nothing is divided by 0") from None

    def _number(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        found = self._value(node, values)
        if isinstance(found, int | float):
            return found
        raise ExpressionError(f"{self.text!r}: {ast.unparse(node)} is no number but {found!r}")


class _BaselineMeasure(ast.NodeTransformer):
    """Makes `baseline` in a comparison the baseline's value of the one measure that is compared."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._measure: str | None = None

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} - {BASELINE}
        before, self._measure = self._measure, names.pop() if len(names) == 1 else None
        visited = self.generic_visit(node)
        self._measure = before
        return visited

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == BASELINE:
            return node
        raise ExpressionError(f"{self._text!r}: {ast.unparse(node)} is no measure")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id != BASELINE:
            return node
        if self._measure is None:
            raise ExpressionError(
                f"{self._text!r}: compare `baseline` with one measure, as in cost<=1.1*baseline, or write baseline.cost"
            )
        return ast.Attribute(ast.Name(BASELINE, ast.Load()), self._measure, ast.Load())


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ExpressionError(f"{text[:40]!r}…: an expression has at most {_LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem = getattr(error, "msg", str(error)) or type(error).__name__
        raise ExpressionError(
            f"{text!r} is no expression ({problem}): write one like equal>=0.98 and cost<=1"
        ) from None
    for node in ast.walk(tree):
        wrong = not isinstance(node, _NODES) or (isinstance(node, ast.operator) and type(node) not in _OPERATORS)
        if wrong or (isinstance(node, ast.cmpop) and type(node) not in _COMPARISONS):
            shown = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise ExpressionError(
                f"{text!r}: {shown} is not possible: there are numbers, texts, names, and or not in, "
                "comparisons, + - * /, and parts of a value by .name or [name]"
            )
    return tree.body


def _member(value: Any, name: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list) and isinstance(name, int) and -len(value) <= name < len(value):
        return value[name]
    return None


def _compares(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    try:
        return compare(one, other)
    except TypeError:  # None, or values of two kinds: there is no order between them
        return False
