"""`POST /webhooks/{source}`: believe the sender, keep what came, write what it means, and only then say 202."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas import Event
from schemas.attributes import new_id
from schemas.dead import DeadLettered
from schemas.webhook import WebhookReceived
from streams.clock import now_ms
from streams.define.named import NamedEvent, NamedRun
from streams.define.policies import Reject
from streams.define.sources import Delivery, Source
from streams.define.starts import StartRun
from streams.error_text import error_message, error_traceback, error_type
from streams.gateway.access import UnsafeBindError
from streams.gateway.answers import answer
from streams.gateway.body import CAP, read
from streams.gateway.deliveries import Deliveries
from streams.gateway.ids import hashed
from streams.gateway.problem import Problem
from streams.gateway.submission import digest, submission_id
from streams.gateway.typed import typed_event
from streams.gateway.write import Record, write_all
from streams.tools._user_code import called

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.responses import Response

    from streams.gateway.deps import Book, Deps
    from streams.gateway.meter import Meter
    from streams.gateway.operation import Call
    from streams.gateway.runs import Runs
    from streams.gateway.submission import Submissions

log = logging.getLogger(__name__)

CAPS: Final[Mapping[str, int]] = {"github": 25 << 20}
"""Bytes of a body by source, where the sender is known to send more than the usual cap."""

_SECRET: Final = ("authorization", "cookie", "x-api-key", "proxy-authorization")
_MAX_ID: Final = 255
_MAX_RESULTS: Final = 1_000


class Meaning(NamedTuple):
    """What a delivery becomes: records to write, and their ids for the sender."""

    records: list[Record]
    events: list[str]
    runs: list[str]
    error: BaseException | None = None


class Webhooks:
    """Serves all sources; every id is derived from the delivery's, so a repeat names the same events and runs."""

    def __init__(self, deps: Deps, submissions: Submissions, runs: Runs, deliveries: Deliveries, meter: Meter) -> None:
        self._deps = deps
        self._submissions = submissions
        self._runs = runs
        self._deliveries = deliveries
        self._meter = meter
        self._topics = {name: deps.names.webhooks(name) for name in deps.catalog.sources}
        self._secrets = {
            source: tuple(secret.get_secret_value() for secret in secrets)
            for source, secrets in deps.settings.webhook_secrets.items()
        }
        for source, secrets in self._secrets.items():
            if not secrets or any(not secret.strip() for secret in secrets):
                message = (
                    f"STREAMS_WEBHOOK_SECRETS has an empty secret for '{source}': fill it in, or remove the source."
                )
                raise UnsafeBindError(message)

    async def __call__(self, call: Call) -> Response:
        """Answer one delivery."""
        name = call.param("source")
        source = self._deps.catalog.sources.get(name)
        if source is None:
            raise Problem("unknown-source", "No source has that name.")
        body = await read(call, CAPS.get(name, CAP))
        headers = _plain(call.scope["headers"])
        if not self._trusted(source, call, headers, body):
            self._meter.refused(name)
            raise Problem("bad-signature", "The delivery's signature is missing, wrong or too old.")
        delivery = Delivery(headers, body)
        try:
            if (reply := _handshake(source, delivery)) is not None:
                return answer(reply)
            delivery_id, failed = self._identified(source, delivery)
        except Reject as error:
            raise Problem("rejected", _line(error)) from None
        meaning = self._meaning(source, delivery, delivery_id) if failed is None else Meaning([], [], [], failed)

        async def write() -> None:
            await self._write(source, delivery, delivery_id, meaning, headers.get("traceparent"))

        wrote = await self._deliveries.once(name, delivery_id, write)
        shown: dict[str, Any] = {"id": delivery_id, "events": meaning.events, "runs": meaning.runs}
        if not wrote:
            self._meter.duplicate(name)
            shown["duplicate"] = True
        return answer(shown, 202)

    def kept(self, book: Book, name: str, delivery_id: bytes) -> WebhookReceived:
        """Return a raw delivery from the log; blocking. Problem 409 when it, or its source, is no more there."""
        topic = self._topics.get(name)
        found = None if topic is None else book.last(topic, delivery_id, WebhookReceived)
        if found is None:
            raise Problem("conflict", "The raw delivery is no longer on the log, or its source is gone: discard it.")
        return found

    async def again(self, name: str, raw: WebhookReceived, traceparent: str | None) -> None:
        """Translate a kept delivery once more and write what it means; Problem 409 when the source fails again."""
        source = self._deps.catalog.sources[name]
        meaning = self._meaning(source, Delivery(raw.headers, raw.body), raw.delivery_id)
        if meaning.error is not None:
            raise Problem("conflict", f"Source {name} fails on it again: {_line(meaning.error)}"[:500])
        await write_all(self._deps.producer, meaning.records, traceparent)
        for record in meaning.records:
            self._runs.started(record.event)

    def _trusted(self, source: Source, call: Call, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether the sender proved itself, by signature or, where the source says so, by an API key."""
        secrets = self._secrets.get(source.name, ())
        if getattr(source.verify, "accepts_key", False) and call.caller is not None:
            # on loopback without keys everybody is trusted, except the pages of web sites, whose browsers say so
            anyone = not call.caller.name and not secrets and "origin" not in headers
            if call.caller.may("submit") and (call.caller.name or anyone):
                return True
        try:
            return called(source.verified, headers, body, secrets, now_ms() / 1000)
        except Exception:
            log.exception("the check of source %s failed; the delivery is refused", source.name)
            return False

    def _identified(self, source: Source, delivery: Delivery) -> tuple[str, Exception | None]:
        """Return the delivery's id. After an error in `once_per` its body stands for it, and the error is returned."""
        try:
            return _delivery_id(source, delivery), None
        except (Reject, Problem):
            raise
        except Exception as error:
            log.exception("source %s gave no id for a delivery; the raw delivery is kept", source.name)
            return hashed("b-", delivery.body.decode("latin-1")), error

    def _meaning(self, source: Source, delivery: Delivery, delivery_id: str) -> Meaning:
        """Return what the source's function makes of a delivery; a bug in it is kept as the meaning, not raised."""
        try:
            return self._translate(source, delivery, delivery_id)
        except Reject as error:
            raise Problem("rejected", _line(error)) from None
        except Problem:
            raise  # the sender named an event or agent, and is told what is wrong with it
        except Exception as error:
            if _is_not_json(delivery):
                raise Problem("malformed-json", "The body is not the JSON that this source reads.") from None
            log.exception("source %s failed on delivery %s; the raw delivery is kept", source.name, delivery_id)
            return Meaning([], [], [], error)

    def _translate(self, source: Source, delivery: Delivery, delivery_id: str) -> Meaning:
        made = called(source.fn, delivery)
        items = [] if made is None else made if isinstance(made, list | tuple) else [made]
        if len(items) > _MAX_RESULTS:
            raise Reject(f"a delivery becomes at most {_MAX_RESULTS} events and runs")
        meaning = Meaning([], [], [])
        for index, item in enumerate(items):
            self._add(meaning, item, f"{source.name}/{delivery_id}/{index}", source.name)
        return meaning

    def _add(self, meaning: Meaning, item: object, item_id: str, source: str) -> None:
        key = None
        if isinstance(item, NamedRun):
            item = StartRun(self._submissions.checked(item.agent, item.input), item.input)
        elif isinstance(item, NamedEvent):
            key = item.key
            item = typed_event(self._deps.catalog.events, item.type, item.data)
        if isinstance(item, StartRun):
            event = self._submissions.of_start(item, hashed("w-", item_id), f"webhook:{source}")
            seal = digest(event.agent, event.input)
            topic = self._submissions.topic(event.agent)
            meaning.records.append(Record(topic, event, submission_id(event.run_id, seal)))
            meaning.runs.append(event.run_id)
        elif isinstance(item, Event):
            key = key or item.key_text() or item_id
            sender = f"/webhooks/{source}"
            meaning.records.append(Record(self._deps.names.events, item, item_id, key, source=sender))
            meaning.events.append(item_id)
        else:
            message = f"source {source} returned {type(item).__name__}; return events, StartRun or None"
            raise TypeError(message)

    async def _write(
        self, source: Source, delivery: Delivery, delivery_id: str, meaning: Meaning, traceparent: str | None
    ) -> None:
        kept = {name: value for name, value in delivery.headers.items() if not _is_secret(name)}
        raw = WebhookReceived(source=source.name, delivery_id=delivery_id, headers=kept, body=delivery.body)
        records = [
            *meaning.records,  # first, because one that cannot be encoded must leave nothing behind
            Record(self._topics[source.name], raw, f"{source.name}/{delivery_id}", delivery_id),
        ]
        if meaning.error is not None:
            self._meter.failed(source.name)
            records.append(self._dead(source.name, delivery_id, meaning.error))
        await write_all(self._deps.producer, records, traceparent)
        for record in meaning.records:
            self._runs.started(record.event)

    def _dead(self, source: str, delivery_id: str, error: BaseException) -> Record:
        kind = error_type(error)
        letter = DeadLettered(
            dead_id=f"{source}/{delivery_id}",
            source_topic=self._topics[source],
            source_partition=-1,
            source_offset=-1,
            key=delivery_id.encode(),
            consumer=f"source:{source}",
            error=_line(error),
            error_type=kind,
            traceback=error_traceback(error),
            fingerprint=hashlib.sha256(f"source:{source}/{kind}".encode()).hexdigest()[:16],
            first_ms=now_ms(),
        )
        return Record(self._deps.names.dead_letters, letter, letter.dead_id)


def _plain(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; of a doubled one the values are joined, so that no check takes its pick."""
    plain: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        plain[name] = f"{plain[name]}, {text}" if name in plain else text
    return plain


def _handshake(source: Source, delivery: Delivery) -> dict[str, Any] | None:
    """Return what the sender wants to hear before it sends anything, if this is that question."""
    handshake = getattr(source.verify, "handshake", None)
    reply: dict[str, Any] | None = None if handshake is None else handshake(delivery)
    return reply


def _delivery_id(source: Source, delivery: Delivery) -> str:
    try:
        found = called(source.delivery_id, delivery)
    except Reject:
        raise
    except Exception:
        if _is_not_json(delivery):
            raise Problem("malformed-json", "The body is not the JSON that this source reads.") from None
        raise
    if found is None:
        return new_id()
    found = called(str, found)
    if len(found) > _MAX_ID or not found.isprintable():
        raise Problem("malformed-request", f"The delivery's id must be printable and at most {_MAX_ID} characters.")
    return found


def _is_not_json(delivery: Delivery) -> bool:
    try:
        _ = delivery.json
    except ValueError:
        return True
    return False


def _is_secret(name: str) -> bool:
    return name in _SECRET or "signature" in name or "token" in name


def _line(error: BaseException) -> str:
    return (error_message(error, 500).splitlines() or [error_type(error)])[0]
