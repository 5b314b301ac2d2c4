"""Asks PostgreSQL for rows: the role, the transaction, the statement's form and the server's clock each hold it back.

A role that has more than SELECT is refused. The statement is read by PostgreSQL's own grammar, in a process that its
deadline ends. It is prepared with its parameters (so the server takes one only) as a sub-query, where nothing but a
query may stand, and its rows come as JSON, cut by the server at so many rows and bytes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from streams.tools import _rows
from streams.tools._bounded_process import bounded
from streams.tools._functions import ALLOWED
from streams.tools._rows import QueryRows
from streams.tools._statement_check import Checked
from streams.tools.errors import QueryRefusedError, ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = 4  # of one process to one database
WAIT_S = 8.0  # for a connection, which may have to be made
IDLE_S = 120.0
LOCK_MS = 2_000
WORK_MEM = "16MB"

# Set in each session, and again in each transaction, because a pool's server may give out another session.
SESSION = """
SELECT set_config('default_transaction_read_only', 'on', false),
       set_config('standard_conforming_strings', 'on', false),
       set_config('client_min_messages', 'error', false)
"""
TRANSACTION = """
SELECT set_config('transaction_read_only', 'on', true),
       set_config('standard_conforming_strings', 'on', true),
       set_config('statement_timeout', %s, true),
       set_config('idle_in_transaction_session_timeout', %s, true),
       set_config('lock_timeout', %s, true),
       set_config('work_mem', %s, true),
       set_config('temp_tablespaces', '', true),
       set_config('search_path', (
         SELECT coalesce(string_agg(quote_ident(name), ', ' ORDER BY place) || ', ', '') || 'pg_temp'
         FROM unnest(current_schemas(true)) WITH ORDINALITY AS path(name, place) WHERE name NOT LIKE 'pg\\_temp%%'
       ), true)
"""
# What the role may do beside reading, in words, itself or as a role that it is a member of.
# The views and tables of PostgreSQL itself are left out: some of their columns are writable for everybody.
RIGHTS = r"""
WITH own AS (SELECT * FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')),
things AS (
  SELECT c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
)
SELECT rights.held FROM (
  SELECT 1 AS place, 'is a superuser' AS held FROM pg_roles WHERE rolname = session_user AND rolsuper
  UNION ALL SELECT 2, 'may create roles' FROM own WHERE rolcreaterole
  UNION ALL SELECT 3, 'may create databases' FROM own WHERE rolcreatedb
  UNION ALL SELECT 4, 'may replicate' FROM own WHERE rolreplication
  UNION ALL SELECT 5, 'is a member of ' || rolname FROM own
    WHERE rolsuper OR rolname IN ('pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
      'pg_execute_server_program', 'pg_signal_backend', 'pg_checkpoint', 'pg_maintain', 'pg_create_subscription')
  UNION ALL SELECT 6, 'may write to ' || name FROM things, own WHERE CASE
      WHEN relkind = 'S' THEN has_sequence_privilege(own.oid, things.oid, 'USAGE, UPDATE')
      ELSE has_table_privilege(own.oid, things.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_any_column_privilege(own.oid, things.oid, 'INSERT, UPDATE') END
  UNION ALL SELECT 7, 'may create in the schema ' || quote_ident(nspname) FROM pg_namespace n, own
    WHERE nspname NOT LIKE 'pg\_t%' AND has_schema_privilege(own.oid, n.oid, 'CREATE')
  UNION ALL SELECT 8, 'may create schemas' FROM own
    WHERE has_database_privilege(own.oid, current_database(), 'CREATE')
) AS rights ORDER BY place LIMIT 1
"""
# `row.name` calls a function of one argument where the row has no such column.
CALLED_BY_DOT = """
SELECT p.proname FROM pg_proc p JOIN pg_type t ON t.oid = p.proargtypes[0]
WHERE p.proname = ANY(%s) AND p.pronargs - p.pronargdefaults <= 1
  AND (t.typtype IN ('c', 'd') OR t.typname IN
       ('record', 'any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray'))
LIMIT 1
"""
READ_S = 5.0  # for the grammar: a statement at its longest takes some milliseconds

_pools: dict[str, ConnectionPool[Any]] = {}
_opening = threading.Lock()


def query(url: str, sql: str, params: Sequence[Any], limit: int) -> QueryRows:
    """Run one query on the database of `postgresql://…`; errors as `execute_database_query` describes them."""
    checked = Checked(**bounded("read_statement", READ_S, {"sql": sql, "params": len(params)}))
    try:
        with _pool(url).connection() as connection:
            return _asked(connection, checked, params, limit)
    except PoolTimeout as error:
        raise ToolError(
            f"PostgreSQL gave no connection within {WAIT_S:g} s; does it run, and may this role in?"
        ) from error
    except (errors.QueryCanceled, errors.LockNotAvailable) as error:
        raise QueryRefusedError(
            f"The query was stopped: {_server_message(error)}; it may run for {_rows.SECONDS:g} s."
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if isinstance(error, errors.InsufficientResources | errors.ProgramLimitExceeded):
            raise QueryRefusedError(f"The query was refused: {_server_message(error)}.") from error
        raise ToolError(f"PostgreSQL did not answer ({_server_message(error)}).") from error
    except psycopg.Error as error:
        raise QueryRefusedError(f"The query was refused: {_server_message(error)}.") from error


def close() -> None:
    """Close all connections of this process; the next query opens others."""
    with _opening:
        for pool in _pools.values():
            pool.close()
        _pools.clear()


def _pool(url: str) -> ConnectionPool[Any]:
    with _opening:
        if url not in _pools:

            def check(connection: psycopg.Connection[Any]) -> None:
                """Raise what the server, or its absence, says; then no session that lies idle is taken for alive.

                They are cut together, by a restart or a firewall, and the pool waits a second after the second one
                that it finds so, two after the third and four after the fourth: longer than a query may wait.
                """
                try:
                    ConnectionPool.check_connection(connection)
                except psycopg.Error:
                    pool.drain()
                    raise

            pool = _pools[url] = ConnectionPool(
                url,
                min_size=0,
                max_size=CONNECTIONS,
                timeout=WAIT_S,
                max_idle=IDLE_S,
                reconnect_timeout=WAIT_S,
                kwargs={"prepare_threshold": None, "connect_timeout": 5, "application_name": "streams"},
                configure=_configure,
                check=check,
                name="execute_database_query",
                open=True,
            )
        return _pools[url]


def _configure(connection: psycopg.Connection[Any]) -> None:
    """Make a new session one that reads."""
    connection.execute(SESSION)
    connection.commit()
    connection.read_only = True


def _asked(connection: psycopg.Connection[Any], checked: Checked, params: Sequence[Any], limit: int) -> QueryRows:
    """Ask within a transaction that is rolled back whatever happened in it."""
    cursor = psycopg.RawCursor(connection)
    rows, bytes_ = f"${len(params) + 1}", f"${len(params) + 2}"
    wrapped = (
        f"SELECT CASE WHEN total <= {bytes_}::bigint THEN data END FROM (\n"  # noqa: S608 - checked, and a sub-query
        f"  SELECT data, sum(octet_length(data)) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM (\n"
        f"    SELECT row_to_json(asked)::text AS data FROM (\n{checked.sql}\n) AS asked LIMIT {rows}::bigint\n"
        f"  ) AS counted\n) AS kept"
    )
    try:
        milliseconds = str(int(_rows.SECONDS * 1000))
        connection.execute(TRANSACTION, (milliseconds, milliseconds, str(LOCK_MS), WORK_MEM))
        _require_reader(connection)
        _require_columns(connection, checked.dotted)
        cursor.execute(wrapped, (*params, limit + 1, _rows.MAX_BYTES))
        found = [row[0] for row in cursor.fetchall()]
    finally:
        connection.rollback()
    fitting = [orjson.loads(row) for row in found[:limit] if row is not None]
    return QueryRows(rows=fitting, count=len(fitting), truncated=len(fitting) < len(found))


def _require_reader(connection: psycopg.Connection[Any]) -> None:
    """Raise QueryRefusedError if the session's role may do more than read."""
    right = connection.execute(RIGHTS).fetchone()
    if right is not None:
        user = connection.info.user
        raise QueryRefusedError(
            f"The role {user} {right[0]}, so the SQL tool does not use it: set STREAMS_DATABASE_URL to a role that has "
            "SELECT only (CREATE ROLE reader LOGIN; GRANT SELECT ON ... TO reader)."
        )


def _require_columns(connection: psycopg.Connection[Any], dotted: Sequence[str]) -> None:
    """Raise QueryRefusedError if a name behind a dot may be a function that is not on the list."""
    names = sorted(set(dotted) - ALLOWED)
    found = connection.execute(CALLED_BY_DOT, (names,)).fetchone() if names else None
    if found is not None:
        raise QueryRefusedError(f"The name {found[0]} behind a dot is also a function, which may not be called.")


def _server_message(error: psycopg.Error) -> str:
    """Return the server's first line: it names neither password nor address."""
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return text.strip().rstrip(".")[:300]
