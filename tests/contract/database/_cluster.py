"""A PostgreSQL of the tests' own, started from what the system has installed, by a user who is not root."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from streams.local.ports import free_ports

SETUP = """
CREATE ROLE reader LOGIN; CREATE ROLE owner LOGIN; CREATE ROLE maker LOGIN CREATEROLE;
CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE, born date, pay numeric(10, 2), tags text[], more jsonb);
INSERT INTO people VALUES (1, 'Ada', '1815-12-10', 10.50, '{a,b}', '{"x": 1}'), (2, 'Bob', NULL, NULL, NULL, NULL),
                          (3, 'Cyn', '2001-01-01', 0, '{}', '[]');
CREATE SEQUENCE counter; SELECT nextval('counter');
CREATE TABLE secrets (word text); INSERT INTO secrets VALUES ('canary');
CREATE FUNCTION erase() RETURNS int LANGUAGE sql AS 'DELETE FROM people; SELECT 1';
CREATE FUNCTION hidden_write() RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE 'DEL' || 'ETE FROM people'; RETURN 1; END $$;
CREATE PROCEDURE erase_all() LANGUAGE sql AS 'DELETE FROM people';
CREATE TABLE owned (id int); ALTER TABLE owned OWNER TO owner; INSERT INTO owned VALUES (1);
GRANT SELECT ON people TO reader; GRANT ALL ON people, counter TO owner;
CREATE ROLE sleeper LOGIN NOINHERIT IN ROLE owner; CREATE ROLE heir LOGIN NOINHERIT IN ROLE maker;
CREATE ROLE counting LOGIN; GRANT USAGE ON counter TO counting;
CREATE ROLE "column" LOGIN; GRANT UPDATE (name) ON people TO "column";
CREATE ROLE builder LOGIN; GRANT CREATE ON SCHEMA public TO builder;
CREATE ROLE server LOGIN IN ROLE pg_read_server_files;
SELECT lo_from_bytea(4711, 'kept');
"""


class Cluster:
    """A running server; `url` is that of a role, `checksum` tells whether anything in it has changed."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def url(self, role: str) -> str:
        """Return the URL of a role."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/postgres"

    def checksum(self) -> str:
        """Return a digest of every row, sequence, large object, setting and role, and of what is in the folder."""
        with psycopg.connect(self.url("postgres")) as connection:
            parts = [
                connection.execute(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} t")
                for name in (
                    "people", "secrets", "owned", "pg_largeobject", "pg_largeobject_metadata", "pg_roles",
                    "pg_db_role_setting", "pg_proc", "pg_namespace", "pg_auth_members",
                )
            ]  # fmt: skip
            parts.append(connection.execute("SELECT * FROM counter"))
            parts.append(connection.execute("SELECT relname, relkind, relacl::text FROM pg_class ORDER BY oid"))
            text = repr([part.fetchall() for part in parts])
        return hashlib.sha256(text.encode()).hexdigest()


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL that is installed, None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    other = shutil.which("initdb")
    return Path(other).resolve().parent if other else None


@contextmanager
def running(bin_folder: Path, folder: Path) -> Iterator[Cluster]:
    """Start a server on a free port with its data in `folder`, fill it, and stop it in the end."""
    data = folder / "data"
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o111)

    def call(program: str, *arguments: str) -> None:
        command = [str(bin_folder / program), *arguments]
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    call("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    (port,) = free_ports([0])  # right before it is used, or another process may take it meanwhile
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c shared_buffers=16MB"
    )
    call("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "server.log"), "-w", "start")
    try:
        cluster = Cluster(folder, port)
        with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
            connection.execute(SETUP)
        yield cluster
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
