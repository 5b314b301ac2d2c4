"""What keeps a worker from being ready, as `/readyz` says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams import clock

if TYPE_CHECKING:
    from streams.worker.handlers import HandlerThreads
    from streams.worker.runtime import Runtime
    from streams.worker.watchdog import Stall

#: After that a worker without partitions counts as ready: it is a spare. The group does not tell it so, and a busy
#: cluster takes seconds to give the first ones.
_GRACE_S: Final = 10.0


def missing(runtime: Runtime, stall: Stall, handlers: HandlerThreads, began: float) -> str | None:
    """Return what keeps a worker that began then (monotonic, seconds) from being ready, None for nothing."""
    if not runtime.opened.is_set():
        return "connecting to the broker"
    slices = runtime.slices.values()
    if runtime.ownership.restoring or any(not owned.ready for owned in slices):
        return "restoring partitions"
    if not slices and clock.monotonic() - began < _GRACE_S:
        return "waiting for partitions"
    if slices and not runtime.committer.proven():
        return "proving to the broker that the partitions are ours"
    return stall.trouble or handlers.trouble
