"""Every model and tool call with its answer, found again by a hash of all that determines the answer."""

from schemas.event import Event
from schemas.values import Json


class CallRecorded(Event, type="call.recorded", key="hash"):
    """A call was made; ``kind`` is llm or tool, ``version`` the tool's, times in milliseconds since the epoch.

    Messages that an earlier call of the run has sent are replaced by a reference to it: see
    ``streams.model.repeats.restored``. ``asked`` is the hash of the whole request, whatever model was meant.
    """

    hash: str
    run_id: str | None = None
    path: str = ""
    attempt: int = 1
    kind: str
    name: str
    version: int = 1
    request: Json = None
    answer: Json = None
    error: Json = None
    usage: Json = None
    started_ms: int
    finished_ms: int
    asked: str | None = None
