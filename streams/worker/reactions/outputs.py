"""What a reaction returned, as records of the unit that its event belongs to; ids are derived from the event's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas import Event
from streams import clock
from streams.define.policies import Reject
from streams.define.starts import StartRun
from streams.engine.ids import started_id
from streams.worker.starts import submission

if TYPE_CHECKING:
    from streams.worker.courier import Courier
    from streams.worker.state.unit import Unit


def listed(made: Any) -> list[Any]:
    """Return what a reaction returned as a list; raises Reject for what is neither an event nor a StartRun."""
    if made is None:
        return []
    outputs = list(made) if isinstance(made, list | tuple) else [made]
    for output in outputs:
        if not isinstance(output, StartRun | Event):
            raise Reject(f"it returned a {type(output).__name__}: return events, StartRun or None")
    return outputs


def put(unit: Unit, courier: Courier, cause: str, name: str, outputs: list[Any]) -> None:
    """Add the outputs of reaction `name` for the event with id `cause`; raises what encoding and limits raise."""
    for index, output in enumerate(outputs):
        if isinstance(output, StartRun):
            run_id = output.run_id or started_id(cause, name, index)
            event = submission(output, run_id, clock.now_ms())
            courier.write(unit, courier.names.agents(output.agent.name), event, id=f"{run_id}/submitted/0", key=run_id)
        else:
            courier.write(unit, courier.names.events, output, id=f"{cause}/{name}/{index}", key=output.key_text())
