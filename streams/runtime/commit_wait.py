"""Waiting for a unit that has to be committed before its result goes out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.committer import Committer


async def committed(committer: Committer, unit: CommitUnit) -> None:
    """Hand a unit over and wait until it is committed; raises DeadAssignmentError when its partition went away."""
    done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def end(error: Exception | None) -> None:
        if not done.done():
            done.set_result(error)

    unit.on_commit.append(lambda: end(None))
    unit.on_refuse = end
    committer.add(unit)
    if (error := await done) is not None:
        raise error
