"""Schedules as their owner reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from streams.worker.http.responses import answer, of

if TYPE_CHECKING:
    from streams.worker.http.ownership_check import OwnershipCheck
    from streams.worker.schedules.schedules import OwnedSchedules


class SchedulePages:
    """`/owner/schedules`."""

    def __init__(self, proof: OwnershipCheck, schedules: OwnedSchedules | None) -> None:
        """Answer for `schedules`; a worker of another pool than the default has none."""
        self._proof = proof
        self._schedules = schedules

    async def list(self, _: Request) -> Response:
        """Answer the schedules whose partitions this worker owns."""
        return of(
            self._proof.assignments(), answer({"schedules": [] if self._schedules is None else self._schedules.rows()})
        )
