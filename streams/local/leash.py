"""Runs a command that must not outlive its parent, whatever ends the parent, kill -9 included.

Run as a script (`python leash.py PARENT COMMAND...`, PARENT a process id), never imported: it needs only the standard
library, so it is up in some milliseconds, and then becomes the command, which keeps this process's id.
On Linux the kernel does the watching. Elsewhere a second process does: `leash.py --watch PARENT PROCESS` ends PROCESS
when PARENT is gone.
"""

from __future__ import annotations

import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the command; or watch two processes."""
    if arguments[0] == "--watch":
        watch(int(arguments[1]), int(arguments[2]))
        return
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        _tie()
    elif os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, "--watch", str(parent), str(os.getppid())])  # noqa: S606
    if os.getppid() != parent:  # it ended before we were tied to it
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the caller's own command, without a shell


def watch(parent: int, process: int) -> None:
    """Kill `process` as soon as `parent` has ended; return when either is gone."""
    first = _first_gone_kqueue([parent, process]) if hasattr(select, "kqueue") else _first_gone_pidfd([parent, process])
    if first == parent:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return  # it went at the same moment


def _tie() -> None:
    """Ask Linux to kill this process with the thread that started it; it survives exec."""
    import ctypes  # noqa: PLC0415 - only here

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"leash: prctl failed ({os.strerror(ctypes.get_errno())})")


def _first_gone_kqueue(processes: list[int]) -> int:
    queue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]  # not on Linux
    for process in processes:
        event = select.kevent(  # type: ignore[attr-defined,unused-ignore]
            process,
            filter=select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
            flags=select.KQ_EV_ADD,  # type: ignore[attr-defined,unused-ignore]
            fflags=select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
        )
        try:
            queue.control([event], 0)
        except ProcessLookupError:
            return process
    return int(queue.control([], 1)[0].ident)


def _first_gone_pidfd(processes: list[int]) -> int:
    poll = select.poll()
    owners = {}
    for process in processes:
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            return process
        owners[descriptor] = process
        poll.register(descriptor, select.POLLIN)
    return owners[poll.poll()[0][0]]


if __name__ == "__main__":
    main(sys.argv[1:])
