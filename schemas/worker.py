"""What workers say of themselves every second: who they are, what they own, how far they are."""

from pydantic import Field

from schemas.event import Event
from schemas.values import Json


class WorkerHeartbeat(Event, type="worker.heartbeat", key="worker_id"):
    """A worker is alive.

    Times are milliseconds since the epoch; ``running`` counts the runs in memory; ``standbys`` are the partitions of
    others that it keeps a copy of. ``agents`` are those of its pool that its code has, null where it does not say.
    ``applied`` is not written any more: with many agents it made a heartbeat larger than a record may be.
    """

    worker_id: str
    pool: str
    url: str
    slot: str = ""
    pid: int
    host: str
    started_ms: int
    at_ms: int
    state: str
    partitions: list[int] = Field(default_factory=list)
    applied: Json = None
    running: int = 0
    version: str = ""
    standbys: list[int] = Field(default_factory=list)
    agents: list[str] | None = None
