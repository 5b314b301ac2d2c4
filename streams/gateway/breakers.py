"""`/breakers`: the circuit breakers of tools as the workers know them, and the order to open or close one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from schemas.attributes import new_id
from schemas.breaker import BreakerSwitched
from streams.gateway.answers import answer
from streams.gateway.body import content, parse
from streams.gateway.ids import check_key, hashed
from streams.gateway.operation import Operation, OperationCall
from streams.gateway.operations import list_of
from streams.gateway.problem import Problem
from streams.gateway.submit import IDEMPOTENCY_KEY, wrong
from streams.gateway.write import ProducedRecord, write
from streams.query.owners import OwnerUnavailableError

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps

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
_POOL: Final = "default"  # whose workers hear an order first, and tell all others
_STATES: Final = ("open", "closed")


class Breakers:
    """Shows breakers, and writes orders."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def all(self, _: OperationCall) -> Response:
        """`GET /breakers`: of what workers say of a tool, the newest counts; `state` is null while none answers."""
        found: dict[str, dict[str, Any]] = {
            name: {"tool": name, "state": None} for name, tool in self._deps.catalog.tools.items() if tool.breaker
        }
        try:
            answers = await self._deps.owners.ask_all(_POOL, "/owner/breakers")
        except OwnerUnavailableError:
            answers = []
        for said in answers:
            for row in orjson.loads(said.body)["breakers"] if said.status == 200 else []:
                before = found.get(row["tool"], {})
                if before.get("state") is None or (row["since"] or "") > (before.get("since") or ""):
                    found[row["tool"]] = row
        return answer({"breakers": [row for _, row in sorted(found.items())]})

    async def switch(self, call: OperationCall) -> Response:
        """`POST /breakers/{tool}` with `{"state": "open" | "closed"}`."""
        name = call.param("tool")
        tool = self._deps.catalog.tools.get(name)
        if tool is None or tool.breaker is None:
            raise Problem("not-found", "No tool with a circuit breaker has that name; see /breakers.")
        key = check_key(call.headers.get("idempotency-key"))
        body = parse(await content(call))
        if not isinstance(body, dict) or set(body) != {"state"} or body["state"] not in _STATES:
            raise wrong("state", 'it must be "open" or "closed", and nothing else is known')
        caller = call.caller.name if call.caller else ""
        request_id = new_id() if key is None else hashed("i-", caller, name, body["state"], key)
        event = BreakerSwitched(tool=name, state=body["state"], request_id=request_id)
        record = ProducedRecord(self._deps.names.signals, event, request_id, headers={"pool": _POOL})
        await write(self._deps.producer, record, call.headers.get("traceparent"))
        return answer({"tool": name, "id": request_id, "accepted": body["state"]}, 202)


def of_breakers(breakers: Breakers) -> list[Operation]:
    """Return the endpoints of circuit breakers."""
    text = {"type": "string"}
    accepted = {
        "type": "object",
        "required": ["tool", "id", "accepted"],
        "properties": {"tool": text, "id": text, "accepted": text},
    }
    body = {
        "type": "object",
        "required": ["state"],
        "additionalProperties": False,
        "properties": {"state": {"type": "string", "enum": list(_STATES)}},
    }
    return [
        Operation(
            "GET", "/breakers", breakers.all, "read", "The tools' breakers", {200: list_of("breakers")}, tag="people"
        ),
        Operation(
            "POST",
            "/breakers/{tool}",
            breakers.switch,
            "admin",
            "Open a circuit breaker until it is closed by hand, or close it",
            {202: accepted},
            _PROBLEMS,
            (IDEMPOTENCY_KEY,),
            {"application/json": body},
            tag="people",
        ),
    ]
