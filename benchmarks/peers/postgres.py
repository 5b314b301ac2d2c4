"""A PostgreSQL of the benchmark's own: a fresh cluster in a temporary folder, on loopback, with Debian's defaults."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local.ports import free_ports

_DEBIAN = "/usr/lib/postgresql"


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of a running cluster; raises SystemExit where PostgreSQL is not installed."""
    tools = _tools()
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="streams-postgres-", ignore_cleanup_errors=True) as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, user)
        data, port = Path(folder) / "data", free_ports([0])[0]
        made = [str(tools / "initdb"), "-D", str(data), "-U", "bench", "-A", "trust", "--no-instructions"]
        subprocess.run(made, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        control = [str(tools / "pg_ctl"), "-D", str(data), "-w"]
        log = str(Path(folder) / "log")
        subprocess.run(
            [*control, "-l", log, "-o", options, "start"], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            stop = [*control, "-m", "fast", "stop"]
            subprocess.run(stop, check=False, user=user, cwd=folder, stdout=subprocess.DEVNULL)


def _tools() -> Path:
    """Return the folder of initdb and pg_ctl: what is on the path, or the newest that Debian's packages installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    installed = sorted(Path(_DEBIAN).glob("*/bin/initdb"))
    if not installed:
        raise SystemExit("PostgreSQL is not installed: `apt install postgresql`")
    return installed[-1].parent
