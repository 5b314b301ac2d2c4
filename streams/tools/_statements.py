"""Reads a PostgreSQL statement by PostgreSQL's own grammar before the server does: one query of known parts.

The parser is libpg_query, the server's own source code as a library, so no text means one thing here and another there.
What may stand in a query is listed: kinds of nodes of the syntax tree, and functions. Everything else is refused.
One layer of several: what is refused here would also meet a role, a transaction and a time-out that do not allow it.
The parser is C code that reads a text from outside: call this in a process of its own (`_bounded_process`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import postgast
from google.protobuf.message import DecodeError, Message

from streams.tools._functions import ALLOWED
from streams.tools._statement_check import Checked
from streams.tools.errors import QueryRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PARTS = """
    A_ArrayExpr A_Const A_Expr A_Indices A_Indirection A_Star Alias BitString BoolExpr Boolean BooleanTest
    CTECycleClause CTESearchClause CaseExpr CaseWhen CoalesceExpr CollateClause ColumnDef ColumnRef CommonTableExpr
    Float FuncCall GroupingFunc GroupingSet Integer JoinExpr JsonAggConstructor JsonArgument JsonArrayAgg
    JsonArrayConstructor JsonArrayQueryConstructor JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue
    JsonObjectAgg JsonObjectConstructor JsonOutput JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr
    JsonTable JsonTableColumn JsonTablePathSpec JsonValueExpr List MinMaxExpr NamedArgExpr Node NullTest ParamRef
    ParseResult RangeFunction RangeSubselect RangeTableFunc RangeTableFuncCol RangeTableSample RangeVar RawStmt
    ResTarget RowExpr SQLValueFunction SelectStmt SortBy String SubLink TypeCast TypeName WindowDef WithClause XmlExpr
    XmlSerialize
"""
PARTS = frozenset(_PARTS.split())
SAMPLES = frozenset({"bernoulli", "system"})
SCHEMA = "pg_catalog"
PARAMETER = re.compile(r"\$[1-9][0-9]*", re.ASCII)
NEVER = re.compile("[\0\ud800-\udfff]")  # the end of a C string, and halves of a character
QUOTED = frozenset("'\"")
COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})


def check(sql: str, params: int) -> Checked:
    """Return the statement if it is one query of known parts with `params` parameters `$1`, `$2`, ….

    Raises QueryRefusedError that says what it may not contain.
    """
    if NEVER.search(sql):
        raise QueryRefusedError("The statement holds characters that PostgreSQL has no use for.")
    used: set[int] = set()
    dotted: set[str] = set()
    for part in _walk(_parsed(sql)):
        kind = part.DESCRIPTOR.name
        _require_known(kind, part)
        if kind == "ParamRef":
            used.add(part.number)
        if kind in DOTS:
            dotted.update(DOTS[kind](part))
    if used != set(range(1, params + 1)):
        raise QueryRefusedError(f"{params} parameters were given; the statement has to use each, as $1, $2, ….")
    return Checked(_without_end(sql), sorted(dotted - {""}))


def _names(parts: Any) -> list[str]:
    """Return the names in a list of nodes; empty for what is no name, as `*` or an index."""
    return [part.string.sval for part in parts]


DOTS: dict[str, Callable[[Any], list[str]]] = {
    "ColumnRef": lambda part: _names(part.fields[1:]),
    "A_Indirection": lambda part: _names(part.indirection),
}


def _parsed(sql: str) -> Any:
    try:
        tree = postgast.parse(sql)
    except postgast.PgQueryError as error:
        raise QueryRefusedError(f"The statement cannot be read ({_line(error)}); write one plain SELECT.") from error
    except DecodeError as error:  # the message has a limit of 100 levels
        raise QueryRefusedError("The statement is nested too deeply; split it, or make a view of its parts.") from error
    if len(tree.stmts) != 1:
        raise QueryRefusedError(f"One statement is taken, not {len(tree.stmts)}.")
    if tree.stmts[0].stmt.WhichOneof("node") != "select_stmt":
        raise QueryRefusedError("Only queries are taken: SELECT, VALUES, and WITH in front of one.")
    return tree


def _walk(tree: Message) -> Iterator[Any]:
    """Yield every message of a syntax tree; nothing recurses."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else value)


def _require_known(kind: str, part: Any) -> None:
    if kind not in PARTS:
        raise QueryRefusedError(f"{_shown(kind)} is not for a query that only reads.")
    if kind == "FuncCall":
        _require_allowed(_names(part.funcname))
    if kind == "RangeTableSample":
        _require_sample(_names(part.method))


def _require_allowed(name: list[str]) -> None:
    if name[-1] not in ALLOWED or name[:-1] not in ([], [SCHEMA]):
        raise QueryRefusedError(
            f"The function {'.'.join(name)} may not be called: a query calls functions of PostgreSQL that only "
            "compute. Make a view that calls it."
        )


def _require_sample(name: list[str]) -> None:
    if name[-1] not in SAMPLES or len(name) > 1:
        raise QueryRefusedError(f"The sampling method {'.'.join(name)} may not be used; take BERNOULLI or SYSTEM.")


def _without_end(sql: str) -> str:
    """Drop the semicolon that ends a statement, and require of `$` that it stands in a parameter or in quotes.

    Dollar quotes, and names with a dollar sign, are where readers of SQL differ most: nobody needs them here.
    """
    text = sql.encode()
    last = None
    for token in postgast.scan(sql).tokens:
        kind = postgast.pg_query_pb2.Token.Name(token.token)
        raw = text[token.start : token.end].decode()
        if kind in COMMENTS:
            continue
        if "$" in raw and not (QUOTED & set(raw[:3])) and PARAMETER.fullmatch(raw) is None:
            raise QueryRefusedError("A dollar sign is taken in a parameter ($1) and within quotes only.")
        last = token
    end = last is not None and text[last.start : last.end] == b";"
    return text[: last.start].decode() if last is not None and end else sql


def _shown(kind: str) -> str:
    words = {"IntoClause": "INTO", "LockingClause": "FOR UPDATE"}
    return words.get(kind, kind.removesuffix("Stmt").upper())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
