"""`/breakers`: the circuit breakers of tools as the workers know them, and the command that opens or closes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from schemas.breaker import BreakerSwitched
from streams.contract.breakers import BreakerAccepted, BreakerList
from streams.gateway.answers import answer, answer_as
from streams.gateway.body import BODY_PROBLEMS, content, parse
from streams.gateway.operation import IDEMPOTENCY_KEY, JSON, Operation, OperationCall
from streams.gateway.pages import rows_of
from streams.gateway.problem import INVALID_REQUEST, NOT_FOUND, invalid_request
from streams.gateway.write import WRITE_PROBLEMS, send_signal

if TYPE_CHECKING:
    from starlette.responses import Response

    from streams.gateway.deps import Deps


_POOL: Final = "default"  # its workers receive a command first, and inform all others
_STATES: Final = ("open", "closed")


class Breakers:
    """Shows breakers, and writes commands."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def all(self, _: OperationCall) -> Response:
        """`GET /breakers`: the newest state that a worker reports counts; `state` is null while none answers."""
        found: dict[str, dict[str, Any]] = {
            name: {"tool": name, "state": None} for name, tool in self._deps.catalog.tools.items() if tool.breaker
        }
        for row in await rows_of(self._deps.owners, _POOL, "breakers"):
            before = found.get(row["tool"], {})
            if before.get("state") is None or (row["since"] or "") > (before.get("since") or ""):
                found[row["tool"]] = row
        return answer_as(BreakerList, {"breakers": [row for _, row in sorted(found.items())]})

    async def switch(self, call: OperationCall) -> Response:
        """`POST /breakers/{tool}` with `{"state": "open" | "closed"}`."""
        name = call.param("tool")
        tool = self._deps.catalog.tools.get(name)
        if tool is None or tool.breaker is None:
            raise NOT_FOUND("No tool with a circuit breaker has that name; see /breakers.")
        body = parse(await content(call))
        if not isinstance(body, dict) or set(body) != {"state"} or body["state"] not in _STATES:
            raise invalid_request("state", 'it must be "open" or "closed", and nothing else is known')
        request_id = call.request_id(name, body["state"])
        event = BreakerSwitched(tool=name, state=body["state"], request_id=request_id)
        await send_signal(self._deps, call, event, request_id, pool=_POOL)
        return answer(BreakerAccepted(tool=name, id=request_id, accepted=body["state"]), 202)

    def operations(self) -> list[Operation]:
        """Return the operations on circuit breakers."""
        body = {
            "type": "object",
            "required": ["state"],
            "additionalProperties": False,
            "properties": {"state": {"type": "string", "enum": list(_STATES)}},
        }
        return [
            Operation("GET", "/breakers", self.all, "read", "The tools' breakers", {200: BreakerList}, tag="breakers"),
            Operation(
                "POST",
                "/breakers/{tool}",
                self.switch,
                "admin",
                "Open a circuit breaker until it is closed by hand, or close it",
                {202: BreakerAccepted},
                (*BODY_PROBLEMS, NOT_FOUND, INVALID_REQUEST, *WRITE_PROBLEMS),
                (IDEMPOTENCY_KEY,),
                {JSON: body},
                tag="breakers",
            ),
        ]
