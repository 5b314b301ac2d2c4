"""How long the group may refuse this member before somebody must act: the library alone may never join again.

A refusal normally lasts until the member's next heartbeat, which notifies the library; it then takes the partitions
away and joins again. A client that has got a list without brokers (from a lone broker that has just come back from a
pause) sends no heartbeat any more (https://github.com/confluentinc/librdkafka/issues/5301): to commit again would go on
for ever.
"""

from __future__ import annotations

from typing import Final

from streams import clock
from streams.runtime.errors import MemberRefusedError, MembershipLostError, MemberUnknownError

#: For a member that the coordinator does not know: longer than the interval of heartbeats, which is 5 s by default.
UNKNOWN_S: Final = 6.0
#: For a member with a former epoch: a group in which workers come and go gives new ones for a while.
REFUSED_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.05  # doubled with each refusal in a row
_LAST_PAUSE_S: Final = 1.0


class MemberRefusals:
    """The refusals in a row, since the last accepted commit or change of assignments."""

    def __init__(self) -> None:
        """Begin with none."""
        self._since: float | None = None
        self._count = 0

    def over(self) -> None:
        """Forget them: a commit was accepted, or the library has taken partitions away."""
        self._since = None
        self._count = 0

    def another(self, error: MemberRefusedError) -> float:
        """Return the pause in seconds before the next try; raises MembershipLostError when there have been too many."""
        now = clock.monotonic()
        self._since = now if self._since is None else self._since
        lasts = now - self._since
        if lasts > (UNKNOWN_S if isinstance(error, MemberUnknownError) else REFUSED_S):
            raise MembershipLostError(
                f"the consumer group refuses this worker for {lasts:.0f} s ({error}) and its client library does not "
                "join again: this worker ends, to be started again"
            )
        self._count += 1
        return min(_FIRST_PAUSE_S * 2.0 ** (self._count - 1), _LAST_PAUSE_S)
