"""Free ports on loopback, the same ones as last time where possible, so that a restart is found where it was.

Whoever gets a port binds it a moment later. New ones come from below those that systems give to outgoing connections
(from 32768 on Linux, from 49152 by RFC 6335), or one of these might have it by then.
"""

from __future__ import annotations

import socket
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from streams.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = "127.0.0.1"

_NEW: Final = range(20_000, 32_000)
_TRIES: Final = 20  # of new ones; then the system may choose


def free_ports(wanted: Sequence[int], at: Sequence[str] | None = None) -> list[int]:
    """Return one port for each wanted one: that one if it is free, else (and for 0) another. All are distinct.

    `at` has the loopback address of each, IPv4 if it is not given; distinct are the ports of one address family.
    """
    held: list[socket.socket] = []
    try:
        held.extend(_bound(port, host) for port, host in zip(wanted, at or [LOOPBACK] * len(wanted), strict=True))
        return [holder.getsockname()[1] for holder in held]
    finally:
        for holder in held:
            holder.close()


def _bound(port: int, host: str) -> socket.socket:
    for candidate in (*([port] if port else []), *SystemRandom().sample(_NEW, _TRIES), 0):
        holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is as good as free
        try:
            holder.bind((host, candidate))
        except OSError as error:
            holder.close()
            if candidate == 0:
                raise LocalError(f"No port can be bound on {host}: {error.strerror}.") from error
        else:
            return holder
    raise AssertionError  # the second candidate either returned or raised
