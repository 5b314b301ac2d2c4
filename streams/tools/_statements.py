"""Reads a PostgreSQL statement before the server does: one query, and no function that reaches past its tables.

One layer of several: what is refused here would also meet a role, a transaction and a time-out that do not allow it.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from streams.tools.errors import QueryRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its warnings repeat the statement, which is not for logs

# Escapes by which a text means another thing than it shows: PostgreSQL and any other reader may differ on them.
ESCAPED = re.compile(r"(?i)\b(?:e'|u&['\"])")
DENIED = re.compile(
    r"""(?ix)
    pg_.* | lo_.* | dblink.* | .*_to_xml.* | .*_to_xmlschema | set_config | current_setting | txid_.* | ts_stat
    | ts_rewrite | crosstab.* | connectby.* | xpath_table | inet_.* | loread | lowrite | setval | nextval | lastval
    | currval | has_.*_privilege | row_security_active | binary_upgrade_.* | cursor_to_.* | gin_clean_.* | brin_.*
    """
)
ALLOWED = frozenset({"pg_typeof", "pg_size_pretty", "pg_column_size"})
WRITES = (exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command, exp.Copy, exp.Set)


def check(sql: str, params: int) -> str:
    """Return the statement without its final semicolon if it is one query with `params` parameters `$1`, `$2`, ….

    Raises QueryRefusedError that says what it may not contain.
    """
    if ("\\" in sql and ESCAPED.search(sql)) or re.search(r"(?i)\buescape\b", sql):
        raise QueryRefusedError("Strings and names with escapes are not taken: give such values as parameters.")
    query = _parsed(sql)
    for node in query.walk():
        if isinstance(node, WRITES) and not isinstance(node, exp.Query | exp.Values):
            raise QueryRefusedError(f"{node.key.upper()} is not for a query that only reads.")
    for name in _called(query):
        if DENIED.fullmatch(name) and name.lower() not in ALLOWED:
            raise QueryRefusedError(f"The function {name} may not be called.")
    _same_number(query, params)
    return _without_end(sql)


def _parsed(sql: str) -> exp.Expr:
    try:
        found = [one for one in sqlglot.parse(sql, dialect="postgres") if one is not None]
    except (SqlglotError, RecursionError) as error:
        raise QueryRefusedError(f"The statement cannot be read ({_line(error)}); write one plain SELECT.") from error
    if len(found) != 1:
        raise QueryRefusedError(f"One statement is taken, not {len(found)}.")
    if not isinstance(found[0], exp.Query | exp.Values):
        raise QueryRefusedError("Only queries are taken: SELECT, VALUES, and WITH in front of one.")
    return found[0]


def _called(query: exp.Expr) -> Iterator[str]:
    for function in query.find_all(exp.Func):
        yield function.name if isinstance(function, exp.Anonymous) else function.sql_name()
    # `(row).name` and `row.name` call a function of one argument where the row has no such column
    for column in query.find_all(exp.Column, exp.Dot):
        yield column.name


def _same_number(query: exp.Expr, given: int) -> None:
    used = {str(parameter.name) for parameter in query.find_all(exp.Parameter)}
    if used != {str(number) for number in range(1, given + 1)} or query.find(exp.Placeholder) is not None:
        raise QueryRefusedError(f"{given} parameters were given; the statement has to use each, as $1, $2, ….")


def _without_end(sql: str) -> str:
    """Drop the semicolon that ends a statement; elsewhere there is none, as the parser has seen only one statement."""
    tokens = sqlglot.tokenize(sql, dialect="postgres")
    if tokens and tokens[-1].token_type is sqlglot.TokenType.SEMICOLON:
        return sql[: tokens[-1].start]
    return sql


def _line(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join(text.split())[:160]
