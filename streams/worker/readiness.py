"""Why a worker is not ready, as `/readyz` says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams import clock

if TYPE_CHECKING:
    from streams.runtime.membership import MembershipWatch
    from streams.runtime.runtime import Runtime
    from streams.runtime.watchdog import StallWatch
    from streams.worker.handler_threads import HandlerThreads

#: After that a worker without partitions counts as ready: it is a spare. The group does not report that, and a busy
#: cluster takes seconds to give the first ones.
_GRACE_S: Final = 10.0


def missing(
    runtime: Runtime, stall: StallWatch, membership: MembershipWatch, handlers: HandlerThreads, began: float
) -> str | None:
    """Return why a worker that began then (monotonic, seconds) is not ready, None if it is."""
    if not runtime.opened.is_set():
        return "connecting to the broker"
    assignments = runtime.assignments.values()
    unserved = runtime.assigned - {owned.partition for owned in assignments if owned.ready}
    if runtime.ownership.restoring or unserved:
        return f"restoring partitions {', '.join(map(str, sorted(unserved)))}".rstrip()
    if not assignments and clock.monotonic() - began < _GRACE_S:
        return "waiting for partitions"
    if assignments and not runtime.committer.proven():
        return "proving to the broker that the partitions are ours"
    return membership.trouble or stall.trouble or handlers.trouble
