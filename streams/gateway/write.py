"""Writes that are acknowledged or a problem: nothing is answered 2xx before the broker acknowledged it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.errors import SchemaError
from schemas.run import RunSubmitted
from streams.gateway.body import TOO_LARGE
from streams.gateway.problem import INVALID_EVENT, Problem, ProblemType
from topics.errors import EventTooLargeError, TopicError, UnknownTopicError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas import Event
    from streams.gateway.deps import Deps, GatewayProducer, PendingRecord
    from streams.gateway.operation import OperationCall
    from topics.producer import Ack

NOT_ACKNOWLEDGED: Final = ProblemType("not-acknowledged", 503, "The log did not acknowledge the write")
WRITE_PROBLEMS: Final = (TOO_LARGE, INVALID_EVENT, NOT_ACKNOWLEDGED)
"""What an operation that writes to the log can answer."""

RETRY_AFTER = 1
"""Seconds after which a client may repeat a write that was not acknowledged."""


class ProducedRecord(NamedTuple):
    """One record to write."""

    topic: str
    event: Event
    id: str | None = None
    key: str | None = None
    headers: Mapping[str, str] | None = None
    source: str | None = None
    time_ms: int | None = None
    partition: int | None = None


async def write(producer: GatewayProducer, record: ProducedRecord, traceparent: str | None, **named: Any) -> Ack:
    """Write one record; Problem 503 when it is not acknowledged, with `named` for the client to repeat with."""
    return (await write_all(producer, (record,), traceparent, **named))[0]


async def send_signal(deps: Deps, call: OperationCall, event: Event, record_id: str, **headers: str) -> None:
    """Write a command on `signals`, for the agent and pool in `headers`; Problem 503 when it is not acknowledged."""
    record = ProducedRecord(deps.names.signals, event, record_id, headers=headers)
    await write(deps.producer, record, call.headers.get("traceparent"))


async def write_all(
    producer: GatewayProducer, records: Sequence[ProducedRecord], traceparent: str | None, **named: Any
) -> list[Ack]:
    """Write several records at once; all are acknowledged, or it is a Problem (the first one)."""
    try:
        return await send_all(producer, records, traceparent)
    except EventTooLargeError as error:
        raise TOO_LARGE("The record is over the size that its topic takes.") from error
    except TopicError as error:
        raise refused(error, **named) from error
    except SchemaError as error:
        raise INVALID_EVENT(f"It cannot be encoded: {error}", errors=[]) from error


async def send_all(producer: GatewayProducer, records: Sequence[ProducedRecord], traceparent: str | None) -> list[Ack]:
    """Write several records at once; raises TopicError or SchemaError for the first that is not acknowledged."""
    begun = [_begin(producer, record, traceparent) for record in records]
    return [await record.acknowledged() for record in begun]


def _begin(producer: GatewayProducer, record: ProducedRecord, traceparent: str | None) -> PendingRecord:
    event = record.event
    if isinstance(event, RunSubmitted) and traceparent is not None:
        event = event.model_copy(update={"traceparent": traceparent})
    return producer.begin(
        record.topic,
        event,
        id=record.id,
        key=record.key,
        headers=record.headers,
        traceparent=traceparent,
        source=record.source,
        time_ms=record.time_ms,
        partition=record.partition,
    )


def refused(error: TopicError, **named: Any) -> Problem:
    """Return the 503: the write may or may not be on the log, so the client repeats it under the same id."""
    if isinstance(error, UnknownTopicError):
        message = f"The topic {error.topic} does not exist yet: run `streams topics apply`, then send it again."
        return NOT_ACKNOWLEDGED(message, retry_after=RETRY_AFTER, **named)
    return NOT_ACKNOWLEDGED(
        "The broker did not acknowledge in time: it may or may not be written; repeat with the same id.",
        retry_after=RETRY_AFTER,
        **named,
    )
