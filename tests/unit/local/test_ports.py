"""Ports that are free now, and that no outgoing connection takes before they are used."""

from __future__ import annotations

import socket

from streams.local.ports import LOOPBACK, free_ports


def test_a_wanted_port_that_is_free_is_the_one() -> None:
    (port,) = free_ports([0])
    assert free_ports([port]) == [port]


def test_for_a_port_that_is_taken_there_is_another_below_those_of_outgoing_connections() -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = free_ports([taken, 0, taken])
    assert taken not in ports
    assert len(set(ports)) == 3
    assert all(20_000 <= port < 32_000 for port in ports)
