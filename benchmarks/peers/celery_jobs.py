"""The same job on Celery and Redis, as its users write it; runs in an environment of its own.

`celery_jobs.py worker URL late|early VISIBILITY TRACE` works with eight processes; `submit …` reads names from its
standard input and prints one line once the broker has them all. A finished job is an entry of the list `outcomes`.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import redis
from celery import Celery


def application(url: str, late: bool, visibility: int) -> Any:
    """Return the app; `visibility` is in seconds, 0 for the default of an hour."""
    app = Celery("jobs", broker=url, backend=url)
    app.conf.task_acks_late = late
    app.conf.task_reject_on_worker_lost = late
    app.conf.worker_hijack_root_logger = False
    if visibility:
        app.conf.broker_transport_options = {"visibility_timeout": visibility}
    return app


def main() -> None:
    """Work or submit."""
    what, url, late, visibility, trace = sys.argv[1:6]
    app = application(url, late == "late", int(visibility))

    @app.task(name="fault_job")
    def fault_job(name: str) -> str:
        handle = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{name}\n".encode())
        os.close(handle)
        threading.Event().wait(0.02)
        redis.Redis.from_url(url).rpush("outcomes", name)
        return name

    if what == "worker":
        app.worker_main(["worker", "--concurrency=8", "--loglevel=WARNING", "--without-gossip", "--without-mingle"])
        return
    for line in sys.stdin:
        fault_job.delay(line.strip())
    print("acknowledged", flush=True)


if __name__ == "__main__":
    main()
