"""Runs that a reaction starts are taken in where they are made, without the way by their queue.

That way is a transaction and a fetch, most of the time between an event and the first line of its agent. The run's
entry is a unit behind the reaction's: never true without it. Where it lives elsewhere, or anything is odd, the record
on the queue, which is written in any case, brings it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.runtime.commit_unit import CommitUnit
from topics.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.run import RunSubmitted
    from streams.runtime.runtime import Runtime
    from streams.worker.runs.intake import RunIntake


class LocalIntake:
    """Takes runs in by the intakes of this worker."""

    def __init__(self, runtime: Runtime, intakes: Mapping[str, RunIntake]) -> None:
        """Take in runs for the partitions and agents that are here."""
        self._runtime = runtime
        self._intakes = intakes

    def __call__(self, base: CommitUnit, started: Sequence[RunSubmitted]) -> None:
        """Take in the runs among `started` that live here, behind `base`, which holds their submissions.

        A base that deals with its own refusal (a parked event's) stays alone: in one assignment with it, what is behind
        it would undo that.
        """
        if base.on_refuse is not None:
            return
        for event in started:
            intake = self._intakes.get(event.agent)
            owned = self._runtime.assignments.get(partition_of(event.run_id.encode(), self._runtime.partitions))
            if intake is None or owned is None or not (owned.live and owned.ready):
                continue
            unit = CommitUnit(owned)
            unit.behind = base
            try:
                intake.take_in_locally(unit, event)
            except Exception:  # noqa: BLE001 - the error is found and reported when it comes by the queue
                if unit.writes or unit.late:  # half of it is in the overlay
                    self._runtime.renew(owned)
                continue
            if unit.outs:
                self._runtime.committer.add(unit)
