"""`POST /webhooks/{source}`: verifies the sender, writes what a delivery becomes, then the delivery.

The raw delivery is written last, once all that it means is acknowledged: whoever finds it on the log (this gateway
after a restart, or another one) knows that nothing of it is missing, and may call a repeat a duplicate.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from schemas.attributes import new_id
from schemas.dead import DeadLettered, fingerprint_of
from schemas.errors import SchemaError
from schemas.trace_context import derived, parsed
from schemas.webhook import WebhookReceived
from streams.clock import monotonic, now_ms
from streams.contract.events import DeliveryAccepted, HandshakeReply
from streams.define.policies import Reject
from streams.define.sources import Delivery, SourceDef
from streams.error_text import error_traceback, error_type
from streams.gateway.access import Caller
from streams.gateway.answers import answer_as
from streams.gateway.body import BODY_PROBLEMS, CAP, decoded, read
from streams.gateway.deliveries import SIGNED_ID, Deliveries
from streams.gateway.headers import plain, stored
from streams.gateway.operation import JSON, Operation, TextAnswer
from streams.gateway.problem import BUSY, CONFLICT, METHOD_NOT_ALLOWED, Problem, ProblemType
from streams.gateway.secrets import revealed
from streams.gateway.translation import (
    REJECTED,
    TRANSLATION_PROBLEMS,
    UNIDENTIFIED,
    Identity,
    Meaning,
    Translator,
    failed,
    line_of,
)
from streams.gateway.unverified_bodies import UnverifiedBodies
from streams.gateway.write import WRITE_PROBLEMS, ProducedRecord, refused, send_all, write, write_all
from streams.tracing import Span
from streams.user_code import called
from topics.errors import EventTooLargeError, TopicError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.gateway.deps import DeadLetterSource, Deps
    from streams.gateway.gateway_metrics import GatewayMetrics
    from streams.gateway.operation import OperationCall
    from streams.gateway.runs import Runs
    from streams.gateway.submission import Submissions

UNKNOWN_SOURCE: Final = ProblemType("unknown-source", 404, "There is no such source")
BAD_SIGNATURE: Final = ProblemType("bad-signature", 401, "The signature is missing or wrong")

log = logging.getLogger(__name__)

CAPS: Final[Mapping[str, int]] = {"github": 25 << 20}
"""Bytes of a body by source, where the sender is known to send more than the usual cap."""

_SILENCE_S: Final = 60.0


class Webhooks:
    """Serves all sources; every id is derived from the delivery's, so a repeat names the same events and runs."""

    def __init__(
        self, deps: Deps, submissions: Submissions, runs: Runs, deliveries: Deliveries, metrics: GatewayMetrics
    ) -> None:
        self._deps = deps
        self._runs = runs
        self._deliveries = deliveries
        self._metrics = metrics
        self._unverified = UnverifiedBodies()
        self._translator = Translator(deps, submissions)
        self._topics = {name: deps.names.webhooks(name) for name in deps.catalog.sources}
        self._logged: dict[str, float] = {}
        self._secrets = revealed(deps.settings.webhook_secrets, deps.catalog.sources)

    async def __call__(self, call: OperationCall) -> Response:
        """Answer one delivery."""
        if call.url.query and (challenge := self._challenge(call)) is not None:
            return challenge
        source, headers, body, sender = await self._verified(call)
        name, delivery = source.name, Delivery(headers, body)
        if (reply := _handshake(source, delivery)) is not None:
            return answer_as(HandshakeReply, reply)
        try:
            members = await self._take(source, delivery, sender)
        except Problem:
            self._metrics.not_written(name)
            raise
        return answer_as(DeliveryAccepted, members, 202)

    async def _take(self, source: SourceDef, delivery: Delivery, sender: Caller) -> dict[str, Any]:
        """Write what a verified delivery means; return the members of the answer."""
        name, began_ms, given = source.name, now_ms(), parsed(delivery.headers.get("traceparent"))
        identity = self._translator.identity(source, delivery, new_id())
        identity = identity._replace(id=self._deliveries.first_id(name, identity.id, identity.signed))
        meaning = self._meaning(source, delivery, identity, sender)

        trace = (given or derived(name, identity.id)).within(name, identity.id)

        async def store() -> None:
            nonlocal meaning
            meaning = await self._store(source, delivery, identity, meaning, trace.header)

        stored = await self._deliveries.once(name, identity.id, store)
        members: dict[str, Any] = {"id": identity.id, "events": meaning.events, "runs": meaning.runs}
        if meaning.error is not None:
            members["dead_letter"] = _dead_id(name, identity.id)
        if not stored:
            self._metrics.duplicate(name)
            members["duplicate"] = True
        elif meaning.error is None:
            self._metrics.accepted(name)
        if stored and self._deps.export is not None:
            attributes: dict[str, str | int | float | bool] = {
                "http.request.method": "POST",
                "http.route": "/webhooks/{source}",
                "streams.source": name,
                "streams.delivery.id": identity.id,
            }
            error = None if meaning.error is None else line_of(meaning.error)
            parent = None if given is None else given.span_id
            self._deps.export(Span(f"webhook {name}", trace, parent, began_ms, now_ms(), "server", attributes, error))
        return members

    async def ask(self, call: OperationCall) -> Response:
        """Answer a sender that verifies the endpoint by GET; Problem 401, 404, 405."""
        source = self._source(call.param("source"))
        if source.handshake is None:
            raise METHOD_NOT_ALLOWED(f"Source {source.name} takes POST only.", headers={"allow": "POST"})
        challenge = self._challenge(call)
        if challenge is None:
            self._metrics.refused(source.name)
            raise BAD_SIGNATURE("The source's handshake does not answer this question.")
        return challenge

    def _challenge(self, call: OperationCall) -> Response | None:
        """Return what the source's handshake answers to the parameters of the query, if anything."""
        source = self._deps.catalog.sources.get(call.param("source"))
        if source is None or source.handshake is None:
            return None
        try:
            text = called(source.handshake, dict(call.query_params))
            if text is None:
                return None
            # the text is the asker's own: no browser may take it for a page
            return Response(text, media_type="text/plain", headers={"x-content-type-options": "nosniff"})
        except Exception as error:  # noqa: BLE001 - the function is the user's own
            self._log_failed_check(source.name, error)
            return None

    def _source(self, name: str) -> SourceDef:
        source = self._deps.catalog.sources.get(name)
        if source is None:
            raise UNKNOWN_SOURCE("No source has that name.")
        return source

    def raw_delivery(self, index: DeadLetterSource, name: str, delivery_id: bytes) -> WebhookReceived:
        """Return a raw delivery from the log; blocking. Problem 409 when it, or its source, is no more there."""
        topic = self._topics.get(name)
        found = None if topic is None else index.last(topic, delivery_id, WebhookReceived)
        if found is None:
            raise CONFLICT("The raw delivery is no longer on the log, or its source is gone: discard it.")
        return found

    async def again(self, name: str, raw: WebhookReceived, traceparent: str | None) -> None:
        """Translate a stored delivery once more and write what it becomes; Problem 409 when the source fails again."""
        source = self._deps.catalog.sources[name]
        delivery, delivery_id, error = Delivery(raw.headers, raw.body), raw.delivery_id, None
        if delivery_id.startswith(UNIDENTIFIED):
            found = self._translator.identity(source, delivery, delivery_id.removeprefix(UNIDENTIFIED))
            delivery_id, error = found.id, found.error
        meaning = self._meaning(source, delivery, Identity(delivery_id, error=error), _unkeyed(name))
        if meaning.error is not None:
            raise CONFLICT(f"Source {name} fails on it again: {line_of(meaning.error)}"[:500])
        await write_all(self._deps.producer, meaning.records, traceparent)
        self._deliveries.remember(name, delivery_id)
        for record in meaning.records:
            self._runs.started(record.event)

    async def _verified(self, call: OperationCall) -> tuple[SourceDef, dict[str, str], bytes, Caller]:
        """Return source, headers, body (without content coding) and sender of a delivery whose sender proved itself.

        Problem 404, 413 or 401; what can be refused by its headers is refused before its body is read.
        """
        name = call.param("source")
        source = self._source(name)
        headers = plain(call.scope["headers"])
        by_key = self._has_key(source, call, headers)
        if not by_key and not source.may_verify(headers, self._secrets.get(name, ())):
            raise self._untrusted(name)
        share = None if by_key else self._unverified.of(call.client.host if call.client else "")
        cap = CAPS.get(name, CAP)
        body = await read(call, cap, share=share)
        if not by_key and not self._is_signed(source, headers, body):
            raise self._untrusted(name)
        sender = call.caller if by_key and call.caller is not None and call.caller.name else _unkeyed(name)
        body = await decoded(call, body, cap)  # a signature is of the bytes that were sent
        headers.pop("content-encoding", None)
        return source, headers, body, sender

    def _meaning(self, source: SourceDef, delivery: Delivery, identity: Identity, sender: Caller) -> Meaning:
        """Return what a delivery means; Problem as `Translator.meaning`."""
        if identity.error is None:
            return self._translator.meaning(source, delivery, identity.id, sender)
        return failed(identity.error)

    def _untrusted(self, name: str) -> Problem:
        self._metrics.refused(name)
        return BAD_SIGNATURE("The delivery's signature is missing, wrong or too old.")

    def _has_key(self, source: SourceDef, call: OperationCall, headers: Mapping[str, str]) -> bool:
        """Return whether the sender proved itself by an API key, where the source takes one."""
        if not getattr(source.verify, "accepts_key", False) or call.caller is None:
            return False
        # on loopback without keys everybody is trusted, except pages of web sites: browsers send their Origin
        anyone = not call.caller.name and not self._secrets.get(source.name, ()) and "origin" not in headers
        return call.caller.may("submit") and (bool(call.caller.name) or anyone)

    def _is_signed(self, source: SourceDef, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether the sender proved itself by its signature."""
        try:
            return called(source.verified, headers, body, self._secrets.get(source.name, ()), now_ms() / 1000)
        except Exception as error:  # noqa: BLE001 - a check may be the user's own
            self._log_failed_check(source.name, error)
            return False

    def _log_failed_check(self, name: str, error: Exception) -> None:
        """Log why a check failed, once a minute for each source: anybody can make it fail, as often as they like."""
        now = monotonic()
        if now - self._logged.get(name, -_SILENCE_S) >= _SILENCE_S:
            self._logged[name] = now
            log.error("the check of source %s failed; the delivery is refused", name, exc_info=error)

    async def _store(
        self, source: SourceDef, delivery: Delivery, identity: Identity, meaning: Meaning, traceparent: str | None
    ) -> Meaning:
        """Write what a delivery means or, if that cannot be written, its dead letter; then the delivery itself.

        Raises Problem 503 as soon as one record is not acknowledged: nothing is written behind it, the delivery least
        of all, and the sender's repeat begins again under the same ids. Returns what the delivery became.
        """
        producer = self._deps.producer
        if meaning.named:
            await write_all(producer, meaning.records, traceparent)
        elif meaning.records:
            try:
                await send_all(producer, meaning.records, traceparent)
            except (EventTooLargeError, SchemaError) as error:  # no repeat can help: what the source made is at fault
                log.exception("what source %s made of delivery %s cannot be written", source.name, identity.id)
                meaning = failed(error)
            except TopicError as error:
                raise refused(error) from error
        for record in meaning.records:
            self._runs.started(record.event)
        if meaning.error is not None:
            self._metrics.failed(source.name)
            letter = self._dead(source.name, identity.id, meaning.error)
            await write(producer, letter, traceparent)
            self._metrics.dead_letter(_consumer(source.name))
        await write(producer, self._raw(source, delivery, identity), traceparent)
        return meaning

    def _raw(self, source: SourceDef, delivery: Delivery, identity: Identity) -> ProducedRecord:
        raw = WebhookReceived(
            source=source.name, delivery_id=identity.id, headers=stored(source, delivery.headers), body=delivery.body
        )
        signed = None if identity.signed is None else {SIGNED_ID: identity.signed}
        return ProducedRecord(self._topics[source.name], raw, f"{source.name}/{identity.id}", identity.id, signed)

    def _dead(self, source: str, delivery_id: str, error: BaseException) -> ProducedRecord:
        kind = error_type(error)
        letter = DeadLettered(
            dead_id=_dead_id(source, delivery_id),
            source_topic=self._topics[source],
            source_partition=-1,
            source_offset=-1,
            key=delivery_id.encode(),
            consumer=_consumer(source),
            error=line_of(error),
            error_type=kind,
            traceback=error_traceback(error),
            fingerprint=fingerprint_of(f"{_consumer(source)}/{kind}"),
            first_ms=now_ms(),
        )
        return ProducedRecord(self._deps.names.dead_letters, letter, letter.dead_id)

    def operations(self) -> list[Operation]:
        """Return the operations of all sources."""
        return [
            Operation(
                "POST",
                "/webhooks/{source}",
                self,
                "optional",
                "A signed delivery",
                {200: (HandshakeReply, TextAnswer("text/plain")), 202: DeliveryAccepted},
                (*BODY_PROBLEMS, BAD_SIGNATURE, UNKNOWN_SOURCE, BUSY, *TRANSLATION_PROBLEMS, *WRITE_PROBLEMS),
                body={JSON: {}, "application/x-www-form-urlencoded": {}},
                tag="events",
                foreign=True,
            ),
            Operation(
                "GET",
                "/webhooks/{source}",
                self.ask,
                "open",
                "Answer a sender that asks whether the endpoint is the right one",
                {200: TextAnswer("text/plain")},
                (BAD_SIGNATURE, UNKNOWN_SOURCE, METHOD_NOT_ALLOWED),
                tag="events",
                foreign=True,
            ),
        ]


def _unkeyed(source: str) -> Caller:
    """Return the sender of deliveries of a source that no key came with: it starts the runs."""
    return Caller(f"webhook:{source}", frozenset())


def _consumer(source: str) -> str:
    """Return what a source's dead letters name as the consumer that gave up."""
    return f"source:{source}"


def _dead_id(source: str, delivery_id: str) -> str:
    return f"{source}/{delivery_id}"


def _handshake(source: SourceDef, delivery: Delivery) -> dict[str, Any] | None:
    """Return the answer to the sender's handshake, if this delivery is one."""
    handshake = getattr(source.verify, "handshake", None)
    try:
        reply: dict[str, Any] | None = None if handshake is None else handshake(delivery)
    except Reject as error:
        raise REJECTED(line_of(error)) from None
    return reply
