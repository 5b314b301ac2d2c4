"""One entry of a run's journal: what was asked at one path of the agent's function, and what came of it."""

from schemas.event import Record
from schemas.values import Json


class JournalEntry(Record):
    """An entry as the log holds it; times in milliseconds since the epoch.

    ``path`` identifies the step within the run, ``resume`` how often the run was resumed before it, ``seq`` its rank
    in log order. ``digest`` covers the arguments, so that code that no longer fits its journal is noticed.
    ``status`` is submitted, scheduled, completed, failed, fired, timed_out, cancelled, ended or expired.
    ``progress`` runs from 0 to 100.
    """

    run_id: str
    path: str
    resume: int = 0
    seq: int
    kind: str
    name: str = ""
    digest: str = ""
    status: str
    stage: str | None = None
    attempt: int = 0
    progress: int | None = None
    input: Json = None
    output: Json = None
    error: Json = None
    usage: Json = None
    due_ms: int | None = None
    started_ms: int = 0
    finished_ms: int | None = None
    agent: str = ""
    version: int = 1
    recorded_ms: int = 0
