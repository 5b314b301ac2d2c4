"""`/schedules`: what the clock starts and when, and the commands to it, each a record for the schedule's owner."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from schemas.schedule import ScheduleCommanded
from streams.clock import iso, now_ms
from streams.contract.schedules import BackfillPlan, ScheduleCommandAccepted, ScheduleList
from streams.engine.slots import Slots
from streams.gateway.answers import answer, answer_as
from streams.gateway.body import BODY_PROBLEMS, optional_body
from streams.gateway.operation import FLAG, IDEMPOTENCY_KEY, JSON, NO_MEMBERS, Operation, OperationCall
from streams.gateway.pages import rows_of
from streams.gateway.problem import INVALID_REQUEST, NOT_FOUND, invalid_request
from streams.gateway.write import WRITE_PROBLEMS, send_signal

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.define.schedules import Schedule
    from streams.gateway.deps import Deps

MOST_SLOTS: Final = 10_000
"""Slots of one backfill; more are several."""

POOL: Final = "default"
Command: TypeAlias = Literal["pause", "resume", "trigger", "backfill"]


_STATE: Final = ("last_slot", "paused", "fired", "failed", "missed", "skipped", "waiting", "running", "backfills")


class Schedules:
    """Shows schedules with the state that their owners report, and writes commands to them."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._schedules = deps.catalog.schedules
        self._slots = {name: Slots(schedule) for name, schedule in self._schedules.items()}

    async def all(self, _: OperationCall) -> Response:
        """`GET /schedules`: what no worker reports at the moment is null."""
        states = await self._states()
        schedules = [self._state(states.get(name)) | one for name, one in self._declared()]
        return answer_as(ScheduleList, {"schedules": schedules})

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
            raise invalid_request("from", "it must be before to, and in the past")
        found = self._slots[schedule.name]
        slots = len(await asyncio.to_thread(found.between, start_ms, end_ms, MOST_SLOTS + 1))
        if slots > MOST_SLOTS:
            raise invalid_request("to", f"that is more than {MOST_SLOTS} slots: backfill them in parts")
        if body.get("dry_run") is True:
            return answer(BackfillPlan(schedule=schedule.name, slots=slots))
        force = body.get("force") is True
        return await self._command(
            call, schedule, "backfill", slots=slots, slot_from_ms=start_ms, slot_to_ms=end_ms, force=force
        )

    async def _plain(self, call: OperationCall, command: Command, **values: Any) -> Response:
        schedule = self._find(call)
        await _body(call)
        return await self._command(call, schedule, command, **values)

    async def _command(
        self, call: OperationCall, schedule: Schedule, command: Command, *, slots: int | None = None, **values: Any
    ) -> Response:
        request_id = call.request_id(schedule.name, command)
        event = ScheduleCommanded(schedule=schedule.name, command=command, request_id=request_id, **values)
        await send_signal(self._deps, call, event, request_id, pool=POOL)
        counted = {} if slots is None else {"slots": slots}
        accepted = ScheduleCommandAccepted(schedule=schedule.name, id=request_id, accepted=command, **counted)
        return answer(accepted, 202)

    def _find(self, call: OperationCall) -> Schedule:
        schedule = self._schedules.get(call.param("name"))
        if schedule is None:
            raise NOT_FOUND("There is no such schedule; see /schedules.")
        return schedule

    async def _states(self) -> dict[str, dict[str, Any]]:
        if not self._schedules:
            return {}
        return {row["name"]: row for row in await rows_of(self._deps.owners, POOL, "schedules")}

    def _declared(self) -> list[tuple[str, dict[str, Any]]]:
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

    def _state(self, row: dict[str, Any] | None) -> dict[str, Any]:
        if row is None:
            return {"next_slot": None, **dict.fromkeys(_STATE)}
        return {"next_slot": row["next_slot"], **{name: row[name] for name in _STATE}}

    def operations(self) -> list[Operation]:
        """Return the operations on schedules."""
        commands = (
            ("pause", self.pause, "No slot fires until it is resumed"),
            ("resume", self.resume, "Slots from now on fire again"),
            ("trigger", self.trigger, "Fire once more, now"),
        )
        moments = {name: {"type": "string", "format": "date-time"} for name in ("from", "to")}
        span = {
            "type": "object",
            "required": ["from", "to"],
            "additionalProperties": False,
            "properties": {**moments, "force": FLAG, "dry_run": FLAG},
        }
        key, problems = (IDEMPOTENCY_KEY,), (*BODY_PROBLEMS, NOT_FOUND, INVALID_REQUEST, *WRITE_PROBLEMS)
        return [
            Operation("GET", "/schedules", self.all, "read", "The schedules", {200: ScheduleList}, tag="schedules"),
            *(
                Operation(
                    "POST",
                    f"/schedules/{{name}}/{name}",
                    handler,
                    "admin",
                    summary,
                    {202: ScheduleCommandAccepted},
                    problems,
                    key,
                    NO_MEMBERS,
                    body_required=False,
                    tag="schedules",
                )
                for name, handler, summary in commands
            ),
            Operation(
                "POST",
                "/schedules/{name}/backfill",
                self.backfill,
                "admin",
                "Fire slots of the past that did not fire",
                {200: BackfillPlan, 202: ScheduleCommandAccepted},
                problems,
                key,
                {JSON: span},
                tag="schedules",
            ),
        ]


async def _body(call: OperationCall, *members: str) -> dict[str, Any]:
    body = await optional_body(call, *members)
    for name in ("force", "dry_run"):
        if not isinstance(body.get(name, False), bool):
            raise invalid_request(name, "it must be true or false")
    return body


def _moment(body: dict[str, Any], name: str, schedule: Schedule) -> int:
    """Return a time of the body in milliseconds; one without offset is in the schedule's zone."""
    value = body.get(name)
    if not isinstance(value, str):
        raise invalid_request(name, "it must be a time, such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value)
        placed = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(schedule.tz))
        ms = round(placed.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise invalid_request(name, "it must be a time, such as 2026-01-31T12:00:00Z") from None
    if not 0 <= ms <= 4_102_444_800_000:
        raise invalid_request(name, f"it must be between {iso(0)} and {iso(4_102_444_800_000)}")
    return ms
