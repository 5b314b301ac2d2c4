"""What takes part in the life of the runs in memory; each method has a default that does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.engine.decision import Decision
    from streams.engine.entry import Entry
    from streams.engine.messages import Message
    from streams.errors import StreamsError
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit
    from streams.worker.runs.active_run import ActiveRun


class RunHooks:
    """The run manager calls these: a subclass overrides what it needs."""

    def rested(self, live: ActiveRun) -> None:
        """Free the place of a run that waits or has ended."""

    def woke(self, live: ActiveRun) -> None:
        """Count a run that goes on."""

    def changed(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Add what belongs into the unit of any decision of a run."""

    def decided(self, live: ActiveRun, decision: Decision) -> None:
        """Count a decision whose last unit is `live.last`, before that unit is handed over."""

    def found(self, live: ActiveRun, entries: Iterable[Entry]) -> None:
        """Take note of a run whose machine is about to be made from its journal."""

    def ended(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Add what else belongs into the unit of a run's end."""

    def refusal(self, owned: PartitionAssignment, run_id: str) -> StreamsError | None:
        """Return why a run must not be started, if that is so."""
        del owned, run_id
        return None

    def holds_back(self, live: ActiveRun, message: Message, unit: CommitUnit | None) -> bool:
        """Return whether a message must wait: it would resume a run whose turn has not come."""
        del live, message, unit
        return False
