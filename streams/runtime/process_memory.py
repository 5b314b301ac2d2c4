"""How a worker's process keeps its memory: settings of the interpreter and the C library, made before threads exist."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Final

_ARENA_MAX: Final = -8  # M_ARENA_MAX of mallopt(3)
_ARENAS: Final = 2  # one for each core that a worker uses; by default eight for each core of the machine


def settle() -> None:
    """Exempt from collection what stays, and let the C library share arenas between threads.

    A worker's threads (consumer, committer, stores) free what another one took. With an arena for each thread such
    memory is reserved for a thread that does not need it: a tenth of what waiting runs cost, and of what a worker has.
    """
    gc.freeze()  # what was imported stays: collections over it stop the loop for seconds when thousands of runs wait
    gc.set_threshold(30_000, 6, 20)  # runs under way survive a look at the young, which costs for nothing
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl has no arenas
        if mallopt is not None:
            mallopt(_ARENA_MAX, _ARENAS)
