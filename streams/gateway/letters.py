"""`/dead-letters`: what was given up, why, and the two things to do about it: hand it over again, or let it go."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from schemas.dead import DeadDiscarded, DeadRedriven
from streams.clock import monotonic, now_ms
from streams.gateway.answers import answer
from streams.gateway.body import content, parse
from streams.gateway.ids import check_key, hashed
from streams.gateway.pages import limit_of
from streams.gateway.problem import Problem
from streams.gateway.redrive import SOURCE, Edit, Redriver
from streams.gateway.submit import wrong
from streams.gateway.write import ProducedRecord, write
from streams.query.dead_letter_json import grouped, shown, whole
from streams.query.dead_letters import MOST, STATES, DeadLetter

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import DeadLetterSource, Deps
    from streams.gateway.operation import OperationCall
    from streams.gateway.threads import GatewayThreads
    from streams.gateway.webhooks import Webhooks

_MAX_REASON: Final = 1_000
_MAX_RATE: Final = 1_000.0
_AT_ONCE: Final = 1_000
_TOGETHER: Final = 50
"""Letters that are held whole at the same time."""

_OURS: Final = 500
_BUDGET_S: Final = 10.0
"""Seconds that one request may hand letters over; what is left then is asked for again."""


class Letters:
    """Reads and changes dead letters. A letter's order is written before it is noted, so a repeat is the same order."""

    def __init__(self, deps: Deps, threads: GatewayThreads, webhooks: Webhooks) -> None:
        self._deps = deps
        self._threads = threads
        self._webhooks = webhooks
        self._book = deps.letters
        self._redriver = None if deps.letters is None else Redriver(deps.catalog, deps.names, deps.letters)

    async def all(self, call: OperationCall) -> Response:
        """`GET /dead-letters`: newest first, or with `group` one row for each kind of failure."""
        query, book, limit = call.query_params, self._open(), limit_of(call)
        state = query.get("state")
        if state is not None and state not in STATES:
            raise wrong("state", f"it must be one of {', '.join(STATES)}")
        wanted = {name: query[name] for name in ("fingerprint", "consumer") if name in query}

        def fits(letter: DeadLetter) -> bool:
            told = letter.letter
            named = all(getattr(told, name) == value for name, value in wanted.items())
            return named and state in (None, letter.state)

        group = query.get("group", "false")
        if group not in {"true", "false"}:
            raise wrong("group", "it must be true or false")
        page = await self._threads.run(lambda: book.newest(fits, MOST if group == "true" else limit), call, watch=True)
        if group == "true":
            return answer({"groups": grouped(page.letters)[:limit], "complete": page.complete})
        return answer({"letters": [shown(letter) for letter in page.letters], "complete": page.complete})

    async def show(self, call: OperationCall) -> Response:
        """`GET /dead-letters/{id}`: everything, the record's value decoded where that is possible."""
        return answer(whole(await self._find(call), self._open()))

    async def redrive(self, call: OperationCall) -> Response:
        """`POST /dead-letters/{id}/redrive`, with an optional `{"edit": value}`."""
        key, body = check_key(call.headers.get("idempotency-key")), await _body(call, "edit")
        edit = Edit(body["edit"]) if "edit" in body else None
        found = await self._find(call)
        mark = _mark(call, found, "redrive", key)
        if found.mark != mark:
            await self._hand_over(call, found, edit, mark)
        state = {"dead_id": found.letter.dead_id, "state": "redriven", "edited": edit is not None}
        return answer(state, 202)

    async def redrive_many(self, call: OperationCall) -> Response:
        """`POST /dead-letters/redrive`: the open letters of a fingerprint, oldest first, at a rate.

        One answer hands over what fits into a few seconds; `left` says how many are for the next request.
        """
        body = await _body(call, "fingerprint", "rate", "limit", "dry_run")
        fingerprint, rate, limit = _fingerprint(body), _rate(body), _limit(body)
        book, dry = self._open(), body.get("dry_run", False)
        if not isinstance(dry, bool):
            raise wrong("dry_run", "it must be true or false")

        def fits(letter: DeadLetter) -> bool:
            return letter.state == "open" and letter.letter.fingerprint == fingerprint

        page = await self._threads.run(lambda: book.newest(fits, MOST), call)
        chosen = page.letters[::-1][:limit]
        if dry:
            ids = [letter.letter.dead_id for letter in chosen]
            return answer({"matching": len(page.letters), "would_redrive": ids, "complete": page.complete})
        done, refused = await self._at_rate(call, chosen, rate)
        left = len(page.letters) - len(done) - len(refused)
        return answer({"redriven": done, "refused": refused, "left": left, "complete": page.complete}, 202)

    async def discard(self, call: OperationCall) -> Response:
        """`POST /dead-letters/{id}/discard`, with an optional `{"reason"}`."""
        key, body = check_key(call.headers.get("idempotency-key")), await _body(call, "reason")
        reason = body.get("reason", "")
        if not isinstance(reason, str) or len(reason) > _MAX_REASON:
            raise wrong("reason", f"it must be a text of at most {_MAX_REASON} characters")
        found = await self._find(call)
        mark = _mark(call, found, "discard", key)
        if found.mark != mark:
            _check_open(found)
            event = DeadDiscarded(dead_id=found.letter.dead_id, reason=reason, at_ms=now_ms())
            await self._note(call, event, mark)
        return answer({"dead_id": found.letter.dead_id, "state": "discarded"}, 202)

    async def _at_rate(
        self, call: OperationCall, letters: list[DeadLetter], rate: float | None
    ) -> tuple[list[str], list[dict[str, str]]]:
        """Hand over what fits into the budget; one that cannot be redriven does not hold the others back."""
        began, done, refused, book = monotonic(), list[str](), list[dict[str, str]](), self._open()
        for first in range(0, len(letters), _TOGETHER):
            some = letters[first : first + _TOGETHER]
            for letter in await self._threads.run(partial(book.whole, some), call):
                wait = 0.0 if rate is None else began + len(done) / rate - monotonic()
                if monotonic() + max(wait, 0) > began + _BUDGET_S:
                    return done, refused
                await _pause(wait)
                try:
                    await self._hand_over(call, letter, None, _mark(call, letter, "redrive", None))
                except Problem as problem:
                    if problem.status >= _OURS:
                        raise
                    refused.append({"dead_id": letter.letter.dead_id, "detail": problem.detail})
                else:
                    done.append(letter.letter.dead_id)
        return done, refused

    async def _hand_over(self, call: OperationCall, found: DeadLetter, edit: Edit | None, mark: str) -> None:
        """Write the order, then the note that it was given; a failure in between leaves a letter to order again."""
        _check_open(found)
        letter, at_ms = found.letter, now_ms()
        if letter.consumer.startswith(SOURCE):
            await self._translate(call, found, edit)
        elif self._redriver is not None:
            record = self._redriver.record(found, edit)
            await write(self._deps.producer, record, call.headers.get("traceparent"))
        attempt, edited = found.redrives + 1, edit is not None
        await self._note(call, DeadRedriven(dead_id=letter.dead_id, attempt=attempt, edited=edited, at_ms=at_ms), mark)

    async def _translate(self, call: OperationCall, found: DeadLetter, edit: Edit | None) -> None:
        """Let a source's function read the raw delivery again; ids are made of the delivery's, so nothing doubles."""
        if edit is not None:
            raise wrong("edit", "a delivery is signed as it is; mend the source's function and redrive it")
        name, book, key = found.letter.consumer.removeprefix(SOURCE), self._open(), found.letter.key or b""
        delivered = await self._threads.run(lambda: self._webhooks.kept(book, name, key), call)
        await self._webhooks.again(name, delivered, call.headers.get("traceparent"))

    async def _note(self, call: OperationCall, event: DeadRedriven | DeadDiscarded, mark: str) -> None:
        record = ProducedRecord(self._deps.names.dead_letters, event, mark, event.dead_id)
        await write(self._deps.producer, record, call.headers.get("traceparent"))

    async def _find(self, call: OperationCall) -> DeadLetter:
        book, dead_id = self._open(), call.param("id")
        found = await self._threads.run(lambda: book.find(dead_id), call)
        if found is None:
            raise Problem("not-found", "No dead letter has this id; see GET /dead-letters.")
        return found

    def _open(self) -> DeadLetterSource:
        if self._book is None:
            raise Problem("log-unavailable", "This gateway has no access to the log.", retry_after=5)
        return self._book


def _mark(call: OperationCall, found: DeadLetter, order: str, key: str | None) -> str:
    """Return the event id of the note: with an idempotency key the same for a repeat."""
    letter = found.letter
    if key is None:
        return f"{letter.dead_id}/{order}/{found.redrives + 1}/{found.partition}-{found.offset}"
    return hashed("i-", call.caller.name if call.caller else "", letter.dead_id, order, key)


def _check_open(found: DeadLetter) -> None:
    if found.state != "open":
        detail = f"The dead letter was {found.state} already; if it fails again it is open again."
        raise Problem("conflict", detail, dead_id=found.letter.dead_id, state=found.state)


async def _body(call: OperationCall, *members: str) -> dict[str, Any]:
    raw = await content(call)
    body = parse(raw) if raw.strip() else {}
    if not isinstance(body, dict):
        raise wrong("body", "it must be an object, or nothing")
    for name in body:
        if name not in members:
            raise wrong(name, f"it is not known; {', '.join(members)} may be given")
    return body


def _fingerprint(body: dict[str, Any]) -> str:
    found = body.get("fingerprint")
    if not isinstance(found, str) or not found:
        raise wrong("fingerprint", "it must name a kind of failure; GET /dead-letters?group=true lists them")
    return found


def _rate(body: dict[str, Any]) -> float | None:
    rate = body.get("rate")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate):
        raise wrong("rate", "it must be a number of letters a second")
    if not 0.1 <= rate <= _MAX_RATE:
        raise wrong("rate", f"it must be from 0.1 to {_MAX_RATE:g} letters a second")
    return float(rate)


def _limit(body: dict[str, Any]) -> int:
    limit = body.get("limit", _AT_ONCE)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _AT_ONCE:
        raise wrong("limit", f"it must be a number from 1 to {_AT_ONCE}")
    return limit


async def _pause(seconds: float) -> None:
    """Keep to the rate."""
    if seconds > 0:
        await asyncio.sleep(seconds)
