"""`/dead-letters`: records and runs that were given up, with the cause, and the commands to redrive or discard them."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from schemas.dead import DeadDiscarded, DeadRedriven
from streams.clock import monotonic, now_ms
from streams.contract.dead_letters import (
    DeadLetterChanged,
    DeadLetterDetail,
    DeadLetterGroups,
    DeadLetterList,
    RedriveAccepted,
    RedrivePlan,
    RefusedRedrive,
)
from streams.gateway.answers import answer, answer_as
from streams.gateway.body import BODY_PROBLEMS, optional_body
from streams.gateway.ids import hashed
from streams.gateway.operation import FLAG, IDEMPOTENCY_KEY, JSON, TEXT, Body, Operation, Param
from streams.gateway.pages import LIMIT, limit_of, texts
from streams.gateway.problem import CONFLICT, INVALID_REQUEST, LOG_UNAVAILABLE, NOT_FOUND, Problem, invalid_request
from streams.gateway.redrive import SOURCE, Edit, Redriver
from streams.gateway.translation import TRANSLATION_PROBLEMS
from streams.gateway.write import WRITE_PROBLEMS, ProducedRecord, write
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
"""Dead letters that are held whole at the same time."""

_EDIT: Final[Body] = {JSON: {"type": "object", "additionalProperties": False, "properties": {"edit": {}}}}
_REASON: Final[Body] = {JSON: {"type": "object", "additionalProperties": False, "properties": {"reason": TEXT}}}
_REDRIVE_MANY: Final[Body] = {
    JSON: {
        "type": "object",
        "required": ["fingerprint"],
        "additionalProperties": False,
        "properties": {
            "fingerprint": {"type": "string", "minLength": 1},
            "rate": {"type": ["number", "null"], "minimum": 0.1, "maximum": _MAX_RATE},
            "limit": {"type": "integer", "minimum": 1, "maximum": _AT_ONCE},
            "dry_run": FLAG,
        },
    }
}

_OURS: Final = 500
_BUDGET_S: Final = 10.0
"""Seconds that one request may redrive dead letters; the client repeats the request for the rest."""


class DeadLetterResource:
    """Reads and changes dead letters. A command is written before it is noted, so a repeat is the same command."""

    def __init__(self, deps: Deps, threads: GatewayThreads, webhooks: Webhooks) -> None:
        self._deps = deps
        self._threads = threads
        self._webhooks = webhooks
        self._index = deps.letters
        self._redriver = None if deps.letters is None else Redriver(deps.catalog, deps.names, deps.letters)

    async def all(self, call: OperationCall) -> Response:
        """`GET /dead-letters`: newest first, or with `group` one row for each kind of failure."""
        query, index, limit = call.query_params, self._open(), limit_of(call)
        state = query.get("state")
        if state is not None and state not in STATES:
            raise invalid_request("state", f"it must be one of {', '.join(STATES)}")
        wanted = {name: query[name] for name in ("fingerprint", "consumer") if name in query}

        def fits(letter: DeadLetter) -> bool:
            found = letter.letter
            named = all(getattr(found, name) == value for name, value in wanted.items())
            return named and state in (None, letter.state)

        group = query.get("group", "false")
        if group not in {"true", "false"}:
            raise invalid_request("group", "it must be true or false")
        page = await self._threads.run(lambda: index.newest(fits, MOST if group == "true" else limit), call, watch=True)
        if group == "true":
            return answer_as(DeadLetterGroups, {"groups": grouped(page.letters)[:limit], "complete": page.complete})
        letters = [shown(letter) for letter in page.letters]
        return answer_as(DeadLetterList, {"letters": letters, "complete": page.complete})

    async def show(self, call: OperationCall) -> Response:
        """`GET /dead-letters/{id}`: everything, the record's value decoded where that is possible."""
        return answer_as(DeadLetterDetail, whole(await self._find(call), self._open()))

    async def redrive(self, call: OperationCall) -> Response:
        """`POST /dead-letters/{id}/redrive`, with an optional `{"edit": value}`."""
        key, body = call.idempotency_key, await optional_body(call, "edit")
        edit = Edit(body["edit"]) if "edit" in body else None
        found = await self._find(call)
        mark = _mark(call, found, "redrive", key)
        if found.mark != mark:
            await self._hand_over(call, found, edit, mark)
        changed = DeadLetterChanged(dead_id=found.letter.dead_id, state="redriven", edited=edit is not None)
        return answer(changed, 202)

    async def redrive_many(self, call: OperationCall) -> Response:
        """`POST /dead-letters/redrive`: the open dead letters of a fingerprint, oldest first, at a rate.

        One answer hands over what fits into a few seconds; `left` says how many are for the next request.
        """
        body = await optional_body(call, "fingerprint", "rate", "limit", "dry_run")
        fingerprint, rate, limit = _fingerprint(body), _rate(body), _limit(body)
        index, dry = self._open(), body.get("dry_run", False)
        if not isinstance(dry, bool):
            raise invalid_request("dry_run", "it must be true or false")

        def fits(letter: DeadLetter) -> bool:
            return letter.state == "open" and letter.letter.fingerprint == fingerprint

        page = await self._threads.run(lambda: index.newest(fits, MOST), call)
        chosen = page.letters[::-1][:limit]
        if dry:
            ids = [letter.letter.dead_id for letter in chosen]
            plan = RedrivePlan(matching=len(page.letters), would_redrive=ids, complete=page.complete)
            return answer(plan)
        done, refused = await self._at_rate(call, chosen, rate)
        left = len(page.letters) - len(done) - len(refused)
        accepted = RedriveAccepted(redriven=done, refused=refused, left=left, complete=page.complete)
        return answer(accepted, 202)

    async def discard(self, call: OperationCall) -> Response:
        """`POST /dead-letters/{id}/discard`, with an optional `{"reason"}`."""
        key, body = call.idempotency_key, await optional_body(call, "reason")
        reason = body.get("reason", "")
        if not isinstance(reason, str) or len(reason) > _MAX_REASON:
            raise invalid_request("reason", f"it must be a text of at most {_MAX_REASON} characters")
        found = await self._find(call)
        mark = _mark(call, found, "discard", key)
        if found.mark != mark:
            _check_open(found)
            event = DeadDiscarded(dead_id=found.letter.dead_id, reason=reason, at_ms=now_ms())
            await self._note(call, event, mark)
        return answer(DeadLetterChanged(dead_id=found.letter.dead_id, state="discarded"), 202)

    async def _at_rate(
        self, call: OperationCall, letters: list[DeadLetter], rate: float | None
    ) -> tuple[list[str], list[RefusedRedrive]]:
        """Hand over what fits into the budget; one that cannot be redriven does not hold the others back."""
        began, done, refused, index = monotonic(), list[str](), list[RefusedRedrive](), self._open()
        for first in range(0, len(letters), _TOGETHER):
            some = letters[first : first + _TOGETHER]
            for letter in await self._threads.run(partial(index.whole, some), call):
                wait = 0.0 if rate is None else began + len(done) / rate - monotonic()
                if monotonic() + max(wait, 0) > began + _BUDGET_S:
                    return done, refused
                await _pause(wait)
                try:
                    await self._hand_over(call, letter, None, _mark(call, letter, "redrive", None))
                except Problem as problem:
                    if problem.status >= _OURS:
                        raise
                    refused.append(RefusedRedrive(dead_id=letter.letter.dead_id, detail=problem.detail))
                else:
                    done.append(letter.letter.dead_id)
        return done, refused

    async def _hand_over(self, call: OperationCall, found: DeadLetter, edit: Edit | None, mark: str) -> None:
        """Write the command, then the note that it was given; after a failure in between it can be repeated."""
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
            raise invalid_request("edit", "a delivery is signed as it is; mend the source's function and redrive it")
        name, index, key = found.letter.consumer.removeprefix(SOURCE), self._open(), found.letter.key or b""
        delivered = await self._threads.run(lambda: self._webhooks.raw_delivery(index, name, key), call)
        await self._webhooks.again(name, delivered, call.headers.get("traceparent"))

    async def _note(self, call: OperationCall, event: DeadRedriven | DeadDiscarded, mark: str) -> None:
        record = ProducedRecord(self._deps.names.dead_letters, event, mark, event.dead_id)
        await write(self._deps.producer, record, call.headers.get("traceparent"))

    async def _find(self, call: OperationCall) -> DeadLetter:
        index, dead_id = self._open(), call.param("id")
        found = await self._threads.run(lambda: index.find(dead_id), call)
        if found is None:
            raise NOT_FOUND("No dead letter has this id; see GET /dead-letters.")
        return found

    def _open(self) -> DeadLetterSource:
        if self._index is None:
            raise LOG_UNAVAILABLE("This gateway has no access to the log.", retry_after=5)
        return self._index

    def operations(self) -> list[Operation]:
        """Return the operations; an id may hold slashes, so a path that ends with a verb comes first."""
        filters = (
            *texts("fingerprint", "consumer"),
            Param("state", {"type": "string", "enum": list(STATES)}, "only those with this state"),
            Param("group", FLAG, "one row for each kind of failure instead"),
            LIMIT,
        )
        write = (*BODY_PROBLEMS, INVALID_REQUEST, LOG_UNAVAILABLE, *WRITE_PROBLEMS)
        change = (*write, NOT_FOUND, CONFLICT)
        return [
            Operation(
                "GET",
                "/dead-letters",
                self.all,
                "read",
                "What was given up, newest first",
                {200: (DeadLetterList, DeadLetterGroups)},
                (INVALID_REQUEST, LOG_UNAVAILABLE),
                filters,
                tag="log",
            ),
            Operation(
                "POST",
                "/dead-letters/redrive",
                self.redrive_many,
                "admin",
                "Hand over the open letters of a fingerprint, oldest first, at a rate; ask again while some are left",
                {200: RedrivePlan, 202: RedriveAccepted},
                write,
                body=_REDRIVE_MANY,
                tag="log",
            ),
            Operation(
                "POST",
                "/dead-letters/{id:text}/redrive",
                self.redrive,
                "admin",
                "Hand it to its consumer again, as it was or with an edited value; a run's is resumed",
                {202: DeadLetterChanged},
                (*change, *TRANSLATION_PROBLEMS),
                (IDEMPOTENCY_KEY,),
                _EDIT,
                body_required=False,
                tag="log",
            ),
            Operation(
                "POST",
                "/dead-letters/{id:text}/discard",
                self.discard,
                "admin",
                "Let it go",
                {202: DeadLetterChanged},
                change,
                (IDEMPOTENCY_KEY,),
                _REASON,
                body_required=False,
                tag="log",
            ),
            Operation(
                "GET",
                "/dead-letters/{id:text}",
                self.show,
                "read",
                "A dead letter with its cause and its record",
                {200: DeadLetterDetail},
                (NOT_FOUND, LOG_UNAVAILABLE),
                tag="log",
            ),
        ]


def _mark(call: OperationCall, found: DeadLetter, order: str, key: str | None) -> str:
    """Return the event id of the note: with an idempotency key the same for a repeat."""
    letter = found.letter
    if key is None:
        return f"{letter.dead_id}/{order}/{found.redrives + 1}/{found.partition}-{found.offset}"
    return hashed("i-", call.caller_name, letter.dead_id, order, key)


def _check_open(found: DeadLetter) -> None:
    if found.state != "open":
        detail = f"The dead letter was {found.state} already; if it fails again it is open again."
        raise CONFLICT(detail, dead_id=found.letter.dead_id, state=found.state)


def _fingerprint(body: dict[str, Any]) -> str:
    found = body.get("fingerprint")
    if not isinstance(found, str) or not found:
        raise invalid_request("fingerprint", "it must name a kind of failure; GET /dead-letters?group=true lists them")
    return found


def _rate(body: dict[str, Any]) -> float | None:
    rate = body.get("rate")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate):
        raise invalid_request("rate", "it must be a number of letters a second")
    if not 0.1 <= rate <= _MAX_RATE:
        raise invalid_request("rate", f"it must be from 0.1 to {_MAX_RATE:g} letters a second")
    return float(rate)


def _limit(body: dict[str, Any]) -> int:
    limit = body.get("limit", _AT_ONCE)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _AT_ONCE:
        raise invalid_request("limit", f"it must be a number from 1 to {_AT_ONCE}")
    return limit


async def _pause(seconds: float) -> None:
    """Wait as the rate demands."""
    if seconds > 0:
        await asyncio.sleep(seconds)
