"""Whether the consumer group still has this worker; ends a process whose client library does not join again.

The commits of a worker with partitions say it first (`streams.runtime.member_refusals`). A worker that has lost its
partitions, or never had one, commits nothing: for it the coordinator is asked, by another client than the consumer's,
which may be the one that has stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streams import clock
from streams.runtime.errors import MembershipLostError
from streams.runtime.group_members import GroupMembers

if TYPE_CHECKING:
    from streams.runtime.runtime import Runtime

_LOOK_S: Final = 2.0
#: How long a member may be missing: longer than the interval of heartbeats, which is 5 s by default.
MISSING_S: Final = 6.0
#: How long the group may take for the first join: a busy cluster loads its coordinators.
JOIN_S: Final = 60.0


class MembershipWatch:
    """Looks every two seconds, unless a commit has proven the membership meanwhile."""

    def __init__(self, runtime: Runtime, crash: Callable[[Exception], None]) -> None:
        """Watch the membership of `runtime`; `crash` ends the process."""
        self._runtime = runtime
        self._crash = crash
        self._group = runtime.settings.group
        self._members = GroupMembers(runtime.settings.client)
        self._since: float | None = None
        self._joined = False
        self.trouble: str | None = None  # what /readyz says of it

    async def run(self) -> None:
        """Look until cancelled."""
        await self._runtime.opened.wait()
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask whether we are a member; an answer that does not come explains nothing and accuses nobody."""
        member = self._runtime.member
        if member is None or self._runtime.committer.proven():
            self._since, self.trouble = None, None
            self._joined = self._joined or member is not None
            return
        members = await asyncio.to_thread(self._members.of, self._group)
        if members is None:
            self._since, self.trouble = None, "the broker does not say who is in the consumer group"
            return
        if any(one.member_id == member for one in members):
            self._since, self.trouble, self._joined = None, None, True
            return
        now = clock.monotonic()
        self._since = now if self._since is None else self._since
        lasts = now - self._since
        self.trouble = f"the consumer group {self._group} has not had this worker for {lasts:.0f} s"
        if lasts > (MISSING_S if self._joined else JOIN_S):
            self._crash(
                MembershipLostError(
                    f"{self.trouble} and its client library does not join again: this worker ends, to be started again"
                )
            )
