"""A run's step as the bus shows it, for those who watch runs without reading journals."""

from schemas.event import Event
from schemas.values import Json


class StepCompleted(Event, type="step.completed", key="run_id"):
    """A step of a run has come to its end; times in milliseconds since the epoch, progress from 0 to 100."""

    run_id: str
    agent: str = ""
    path: str
    seq: int = 0
    kind: str
    name: str = ""
    stage: str | None = None
    status: str
    attempt: int = 1
    progress: int | None = None
    error: Json = None
    usage: Json = None
    started_ms: int = 0
    finished_ms: int | None = None
