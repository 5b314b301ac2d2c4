"""Asks PostgreSQL for rows: the role, the transaction, the statement's form and the server's clock each hold it back.

The role should have nothing but SELECT; a superuser gives its rights away for PostgreSQL's own `pg_read_all_data`
before a statement runs. The statement is prepared with its parameters (so the server takes one only) as a sub-query,
where nothing but a query may stand, and its rows come as JSON, cut by the server at so many rows and bytes.
"""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from streams.tools import _rows
from streams.tools._rows import Rows
from streams.tools._statements import check
from streams.tools.errors import QueryRefusedError, ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = 4  # of one process to one database
WAIT_S = 8.0  # for a connection, which may have to be made
IDLE_S = 120.0
LOCK_MS = 2_000
WORK_MEM = "16MB"

# Told to each session, and again for each transaction, because a pool's server may give out another session.
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
ROLE = """
SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication AS mighty,
       (SELECT pg_has_role(session_user, r.oid, 'MEMBER') FROM pg_roles r WHERE r.rolname = 'pg_read_all_data')
         AS may_give_away,  -- PostgreSQL 14 and later have that role, which reads every table and does nothing else
       EXISTS (SELECT FROM pg_class c WHERE c.relkind IN ('r', 'p')
               AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) AS writes
FROM pg_roles WHERE rolname = session_user
"""

_log = logging.getLogger(__name__)
_pools: dict[str, ConnectionPool[Any]] = {}
_opening = threading.Lock()


def query(url: str, sql: str, params: Sequence[Any], limit: int) -> Rows:
    """Run one query on the database of `postgresql://…`; errors as `execute_database_query` tells them."""
    checked = check(sql, len(params))
    try:
        with _pool(url).connection() as connection:
            return _asked(connection, checked, params, limit)
    except PoolTimeout as error:
        raise ToolError(
            f"PostgreSQL gave no connection within {WAIT_S:g} s; does it run, and may this role in?"
        ) from error
    except (errors.QueryCanceled, errors.LockNotAvailable) as error:
        raise QueryRefusedError(
            f"The query was stopped: {_said(error)}; it may run for {_rows.SECONDS:g} s."
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        if isinstance(error, errors.InsufficientResources | errors.ProgramLimitExceeded):
            raise QueryRefusedError(f"The query was refused: {_said(error)}.") from error
        raise ToolError(f"PostgreSQL did not answer ({_said(error)}).") from error
    except psycopg.Error as error:
        raise QueryRefusedError(f"The query was refused: {_said(error)}.") from error


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


def _asked(connection: psycopg.Connection[Any], sql: str, params: Sequence[Any], limit: int) -> Rows:
    """Ask within a transaction that is rolled back whatever happened in it."""
    cursor = psycopg.RawCursor(connection)
    rows, bytes_ = f"${len(params) + 1}", f"${len(params) + 2}"
    wrapped = (
        f"SELECT CASE WHEN total <= {bytes_}::bigint THEN data END FROM (\n"  # noqa: S608 - checked, and a sub-query
        f"  SELECT data, sum(octet_length(data)) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM (\n"
        f"    SELECT row_to_json(asked)::text AS data FROM (\n{sql}\n) AS asked LIMIT {rows}::bigint\n"
        f"  ) AS counted\n) AS kept"
    )
    try:
        milliseconds = str(int(_rows.SECONDS * 1000))
        connection.execute(TRANSACTION, (milliseconds, milliseconds, str(LOCK_MS), WORK_MEM))
        _give_rights_away(connection)
        cursor.execute(wrapped, (*params, limit + 1, _rows.MAX_BYTES))
        found = [row[0] for row in cursor.fetchall()]
    finally:
        connection.rollback()
    fitting = [orjson.loads(row) for row in found[:limit] if row is not None]
    return Rows(rows=fitting, count=len(fitting), truncated=len(fitting) < len(found))


def _give_rights_away(connection: psycopg.Connection[Any]) -> None:
    """Take on the role that may only read, if the session's own is mightier and may; say once if it may not."""
    found = connection.execute(ROLE).fetchone()
    if found is None:
        raise QueryRefusedError("The role of this connection is not known to the database.")
    name, mighty, may_give_away, writes = found
    if (mighty or writes) and may_give_away:
        connection.execute("SET LOCAL ROLE pg_read_all_data")
    elif mighty:
        raise QueryRefusedError(f"The role {name} may change more than tables: give this tool one with SELECT only.")
    elif writes:
        _warn(name)


@cache
def _warn(role: str) -> None:
    _log.warning("The database role %s may write; give the SQL tool a role that has SELECT only.", role)


def _said(error: psycopg.Error) -> str:
    """Return the server's first line: it names neither password nor address."""
    text = error.diag.message_primary or str(error).partition("\n")[0]
    return text.strip().rstrip(".")[:300]
