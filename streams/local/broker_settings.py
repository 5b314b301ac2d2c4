"""How the embedded broker is set: one node, quick to start and to fail over, that creates no topic by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.local.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

# Also in deploy/kafka.env; the group and transaction settings are static, so a cluster that lacks them needs a restart.
SHARED = {
    "auto.create.topics.enable": "false",  # a topic that nobody declared is a typing error, not a topic
    "group.initial.rebalance.delay.ms": "0",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "8",  # of 50: each costs files and start-up time, and one node gains nothing
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "1",
    # A killed worker's partitions move after 6 s, not 45 s, and its open transaction ends within about a second of
    # its time-out, not within 10 s.
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}
SINGLE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "16777216",  # of 128 MiB, a quarter of our heap
    # A partition that moves waits for heartbeats of both members: on one machine they may come often.
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "250",
    "broker.heartbeat.interval.ms": "300",
    "broker.session.timeout.ms": "3000",  # after kill -9 the next start waits for the old session to end
}


def properties(data: Path, port: int, controller_port: int) -> str:
    """Return the text of `server.properties` for a broker on loopback with its log in the folder `data`."""
    addresses = {
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "log.dirs": str(data),
    }
    return "".join(f"{name}={escaped(value)}\n" for name, value in {**SHARED, **SINGLE, **addresses}.items())


def escaped(value: str) -> str:
    """Return `value` as the right side of a line of a `.properties` file (the format of java.util.Properties.load).

    Java reads such a file as ISO-8859-1, so whatever is not printable ASCII is written as UTF-16 units in hexadecimal.
    """
    text = value.replace("\\", "\\\\")
    lead = len(text) - len(text.lstrip(" "))
    text = "\\ " * lead + text[lead:]  # Java drops blanks before a value
    return "".join(char if " " <= char <= "~" else _units(char) for char in text)


def _units(char: str) -> str:
    encoded = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{encoded[at : at + 2].hex()}" for at in range(0, len(encoded), 2))
