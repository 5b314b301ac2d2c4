"""Why a broker refuses a connection: what waiting cannot mend, in words that name the setting to look at.

The library retries such connections for ever and reports them as "no broker answers", so a wrong password looks like a
broker that is down.
"""

import socket
from typing import Final

from confluent_kafka import KafkaError

_CREDENTIALS: Final = "check STREAMS_KAFKA_SASL_MECHANISM, STREAMS_KAFKA_SASL_USERNAME and STREAMS_KAFKA_SASL_PASSWORD"
_TLS: Final = "check STREAMS_KAFKA_SSL_CA, _CERT and _KEY, and STREAMS_KAFKA_SECURITY_PROTOCOL"
_PROTOCOL: Final = "check STREAMS_KAFKA_SECURITY_PROTOCOL: the port may belong to a listener of another protocol"

_ADVICE: Final = {
    KafkaError._AUTHENTICATION: _CREDENTIALS,  # noqa: SLF001 the library's names
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _CREDENTIALS,
    KafkaError.ILLEGAL_SASL_STATE: _PROTOCOL,
    KafkaError._SSL: _TLS,  # noqa: SLF001
}
_RESOURCES: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
}
_CONNECT_S: Final = 1.0
_LONGEST: Final = 300


def refusal(error: KafkaError) -> str | None:
    """Return one line on a connection that authentication or TLS refuses; None for what may pass by itself."""
    advice = _ADVICE.get(error.code())
    return None if advice is None else f"{_kind(error)} failed: {_reason(error)}; {advice}"


def suspicion(error: KafkaError) -> str | None:
    """Return one line on a TLS handshake that ends as it does on a plain listener; None for any other error.

    A broker that stops ends connections in the same way, so this explains a silence and never ends a wait.
    """
    return f"{_reason(error)}; {_PROTOCOL}" if "SSL handshake failed" in error.str() else None


def takes_connections(bootstrap_servers: str) -> bool:
    """Return whether one of the addresses takes a TCP connection; blocks for a second an address at most."""
    return any(_connects(address) for address in bootstrap_servers.split(","))


def _connects(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError):
        return False
    return True


def missing_right(error: KafkaError, what: str = "") -> str | None:
    """Return one line on a request that the broker's ACLs deny; None for any other error.

    ``what`` names the topic, group or transactional id where the caller knows it.
    """
    resource = _RESOURCES.get(error.code())
    if resource is None:
        return None
    named = f"{resource} {what}" if what else f"a {resource}"
    return f"this process's Kafka user lacks a right on {named}: `streams topics acl` prints the ACLs that it needs"


def _kind(error: KafkaError) -> str:
    return "TLS" if error.code() == KafkaError._SSL else "authentication"  # noqa: SLF001


def _reason(error: KafkaError) -> str:
    """Return the library's words without the names of its threads and without line breaks."""
    return " ".join(error.str().split())[:_LONGEST]
