"""Errors as the client library makes them, and the refusals with which a broker answers."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException


class RefusedError(Exception):
    """Raised by a simulated broker for a request that it answers with an error code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def kafka_error(
    code: int, reason: str | None = None, *, retriable: bool = False, fatal: bool = False, abort: bool = False
) -> KafkaError:
    """Return an error of the library; without a reason it has the library's own text."""
    if reason is None:
        return KafkaError(code, None, fatal, retriable, abort)
    return KafkaError(code, reason, fatal, retriable, abort)


def failure(
    code: int, reason: str | None = None, *, retriable: bool = False, fatal: bool = False, abort: bool = False
) -> KafkaException:
    """Return what a call of the library raises."""
    return KafkaException(kafka_error(code, reason, retriable=retriable, fatal=fatal, abort=abort))
