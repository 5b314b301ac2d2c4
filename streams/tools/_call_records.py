"""Records of calls for the topic `calls`; what they hold of requests and answers is masked.

A shadow topic is read by as many people as any other, so that a replay writes its records by the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.call import CallRecorded
from streams import clock
from streams.engine.messages import ErrorInfo
from streams.model.hash import call_hash, tool_hash
from streams.telemetry import conceal, redact_json

if TYPE_CHECKING:
    from streams.define.tools import Tool
    from streams.engine.decision import Perform
    from streams.model.ask import CallMade


def model_record(run_id: str, perform: Perform, call: CallMade) -> CallRecorded:
    """Return the record of a request to a model."""
    return CallRecorded(
        hash=call.hash,
        run_id=run_id,
        path=perform.path,
        attempt=perform.attempt,
        kind=call.kind,
        name=call.name,
        version=call.version,
        request=redact_json(call.request),
        answer=conceal(call.answer),
        usage=call.usage.to_json(),
        started_ms=call.started_ms,
        finished_ms=call.finished_ms,
        asked=call_hash(call.kind, "", 1, call.request),
    )


def tool_record(
    run_id: str,
    path: str,
    attempt: int,
    tool: Tool[Any],
    args: Any,
    value: Any,
    started_ms: int,
    *,
    error: BaseException | None = None,
) -> CallRecorded:
    """Return the record of a call that was made: with its answer, or its error."""
    info = None if error is None else ErrorInfo.of(error)
    return CallRecorded(
        hash=tool_hash(tool.name, tool.version, args),
        run_id=run_id,
        path=path,
        attempt=attempt,
        kind="tool",
        name=tool.name,
        version=tool.version,
        request=redact_json(args),
        answer=value,
        error=None if info is None else {"type": info.type, "message": info.message},
        usage=None,
        started_ms=started_ms,
        finished_ms=clock.now_ms(),
    )
