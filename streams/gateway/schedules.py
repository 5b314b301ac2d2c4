"""`/schedules`: what the clock starts and when, and the orders to it. An order is a record for the schedule's owner."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson

from schemas.attributes import new_id
from schemas.schedule import ScheduleCommanded
from streams.clock import iso, now_ms
from streams.engine.slots import Slots
from streams.gateway.answers import answer
from streams.gateway.body import content, parse
from streams.gateway.ids import check_key, hashed
from streams.gateway.operation import Operation, OperationCall
from streams.gateway.problem import Problem
from streams.gateway.submit import IDEMPOTENCY_KEY, wrong
from streams.gateway.write import ProducedRecord, write
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.schedules import Schedule
    from streams.gateway.deps import Deps

MOST_SLOTS: Final = 10_000
"""Slots of one backfill; more are several."""

POOL: Final = "default"
_PROBLEMS: Final = (
    "malformed-json",
    "malformed-request",
    "too-large",
    "slow-body",
    "not-found",
    "invalid-request",
    "busy",
    "not-acknowledged",
)
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_STATE: Final = ("last_slot", "paused", "fired", "failed", "missed", "skipped", "waiting", "running", "backfills")


class Schedules:
    """Shows schedules with what their owners tell, and writes orders to them."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._schedules = deps.catalog.schedules
        self._slots = {name: Slots(schedule) for name, schedule in self._schedules.items()}

    async def all(self, _: OperationCall) -> Response:
        """`GET /schedules`: what no worker tells of at the moment is null."""
        told = await self._told()
        return answer({"schedules": [self._shown(told.get(name)) | one for name, one in self._defined()]})

    async def pause(self, call: OperationCall) -> Response:
        """`POST /schedules/{name}/pause`: no slot fires until it is resumed."""
        return await self._plain(call, "pause")

    async def resume(self, call: OperationCall) -> Response:
        """`POST /schedules/{name}/resume`: slots from now on fire, also where an earlier run was waited for."""
        return await self._plain(call, "resume")

    async def trigger(self, call: OperationCall) -> Response:
        """`POST /schedules/{name}/trigger`: once more, now."""
        return await self._plain(call, "trigger", slot_from_ms=now_ms())

    async def backfill(self, call: OperationCall) -> Response:
        """`POST /schedules/{name}/backfill` `{"from","to","force"?,"dry_run"?}`: past slots that did not fire."""
        schedule = self._find(call)
        body = await _body(call, "from", "to", "force", "dry_run")
        start_ms, end_ms = _moment(body, "from", schedule), _moment(body, "to", schedule)
        end_ms = min(end_ms, now_ms())
        if start_ms >= end_ms:
            raise wrong("from", "it must be before to, and in the past")
        found = self._slots[schedule.name]
        slots = len(await asyncio.to_thread(found.between, start_ms, end_ms, MOST_SLOTS + 1))
        if slots > MOST_SLOTS:
            raise wrong("to", f"that is more than {MOST_SLOTS} slots: backfill them in parts")
        if body.get("dry_run") is True:
            return answer({"schedule": schedule.name, "slots": slots})
        force = body.get("force") is True
        return await self._order(
            call, schedule, "backfill", slots=slots, slot_from_ms=start_ms, slot_to_ms=end_ms, force=force
        )

    async def _plain(self, call: OperationCall, command: str, **values: Any) -> Response:
        schedule = self._find(call)
        await _body(call)
        return await self._order(call, schedule, command, **values)

    async def _order(
        self, call: OperationCall, schedule: Schedule, command: str, *, slots: int | None = None, **values: Any
    ) -> Response:
        key = check_key(call.headers.get("idempotency-key"))
        caller = call.caller.name if call.caller else ""
        request_id = new_id() if key is None else hashed("i-", caller, schedule.name, command, key)
        event = ScheduleCommanded(schedule=schedule.name, command=command, request_id=request_id, **values)
        record = ProducedRecord(self._deps.names.signals, event, request_id, headers={"pool": POOL})
        await write(self._deps.producer, record, call.headers.get("traceparent"))
        counted = {} if slots is None else {"slots": slots}
        return answer({"schedule": schedule.name, "id": request_id, "accepted": command, **counted}, 202)

    def _find(self, call: OperationCall) -> Schedule:
        schedule = self._schedules.get(call.param("name"))
        if schedule is None:
            raise Problem("not-found", "There is no such schedule; see /schedules.")
        return schedule

    async def _told(self) -> dict[str, dict[str, Any]]:
        if not self._schedules:
            return {}
        try:
            answers = await self._deps.owners.ask_all(POOL, "/owner/schedules")
        except OwnerUnavailableError:
            return {}
        rows = [row for said in answers if said.status == 200 for row in orjson.loads(said.body)["schedules"]]
        return {row["name"]: row for row in rows}

    def _defined(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (
                name,
                {
                    "name": name,
                    "doc": one.doc,
                    "cron": one.cron,
                    "every_s": one.every,
                    "tz": one.tz,
                    "overlap": one.overlap,
                    "catch_up_s": one.catch_up,
                    "jitter_s": one.jitter,
                    "start": None if one.start is None else one.start.isoformat(),
                    "end": None if one.end is None else one.end.isoformat(),
                },
            )
            for name, one in sorted(self._schedules.items())
        ]

    def _shown(self, row: dict[str, Any] | None) -> dict[str, Any]:
        if row is None:
            return {"next_slot": None, **dict.fromkeys(_STATE)}
        return {"next_slot": row["next_slot"], **{name: row[name] for name in _STATE}}


async def _body(call: OperationCall, *members: str) -> dict[str, Any]:
    raw = await content(call)
    body = parse(raw) if raw.strip() else {}
    if not isinstance(body, dict):
        raise wrong("body", "it must be an object")
    for name in body:
        if name not in members:
            raise wrong(name, "it is not known here")
    for name in ("force", "dry_run"):
        if not isinstance(body.get(name, False), bool):
            raise wrong(name, "it must be true or false")
    return body


def _moment(body: dict[str, Any], name: str, schedule: Schedule) -> int:
    """Return a time of the body in milliseconds; one without offset is in the schedule's zone."""
    value = body.get(name)
    if not isinstance(value, str):
        raise wrong(name, "it must be a time, such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value)
        placed = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(schedule.tz))
        ms = round(placed.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise wrong(name, "it must be a time, such as 2026-01-31T12:00:00Z") from None
    if not 0 <= ms <= 4_102_444_800_000:
        raise wrong(name, f"it must be between {iso(0)} and {iso(4_102_444_800_000)}")
    return ms


def of_schedules(schedules: Schedules) -> list[Operation]:
    """Return the endpoints of schedules."""
    item = {"type": "object"}
    listed = {
        "type": "object",
        "required": ["schedules"],
        "properties": {"schedules": {"type": "array", "items": item}},
    }
    accepted = {
        "type": "object",
        "required": ["schedule", "id", "accepted"],
        "properties": {"schedule": _TEXT, "id": _TEXT, "accepted": _TEXT, "slots": {"type": "integer"}},
    }
    plain = [
        ("pause", schedules.pause, "No slot fires until it is resumed"),
        ("resume", schedules.resume, "Slots from now on fire again"),
        ("trigger", schedules.trigger, "Fire once more, now"),
    ]
    counted = {"type": "object", "required": ["schedule", "slots"]}
    moments = {name: {"type": "string", "format": "date-time"} for name in ("from", "to")}
    span = {
        "type": "object",
        "required": ["from", "to"],
        "additionalProperties": False,
        "properties": {**moments, "force": {"type": "boolean"}, "dry_run": {"type": "boolean"}},
    }
    key, json = (IDEMPOTENCY_KEY,), "application/json"
    nothing = {json: {"type": "object", "additionalProperties": False}}
    return [
        Operation("GET", "/schedules", schedules.all, "read", "The schedules", {200: listed}, tag="schedules"),
        *(
            Operation(
                "POST",
                f"/schedules/{{name}}/{name}",
                handler,
                "admin",
                summary,
                {202: accepted},
                _PROBLEMS,
                key,
                nothing,
                body_required=False,
                tag="schedules",
            )
            for name, handler, summary in plain
        ),
        Operation(
            "POST",
            "/schedules/{name}/backfill",
            schedules.backfill,
            "admin",
            "Fire slots of the past that did not fire",
            {200: counted, 202: accepted},
            _PROBLEMS,
            key,
            {json: span},
            tag="schedules",
        ),
    ]
