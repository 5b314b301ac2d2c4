"""Which combinations of the Kafka settings make a connection, checked before one is tried.

The library takes most wrong combinations silently: a user without SASL connects in plain text and without the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

_PASSWORD_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FILES: Final = ("kafka_ssl_ca", "kafka_ssl_cert", "kafka_ssl_key")


class KafkaSettings(Protocol):
    """The settings of a connection: `streams.settings.Settings` has them, and each further one by its name."""

    @property
    def kafka_security_protocol(self) -> str:
        """Whether TLS and SASL are used."""

    @property
    def kafka_sasl_mechanism(self) -> str | None:
        """How SASL authenticates."""

    @property
    def kafka_ssl_cert(self) -> Path | None:
        """The file of the client certificate."""

    @property
    def kafka_ssl_key(self) -> Path | None:
        """The file of its key."""


def problems(settings: KafkaSettings) -> Iterator[str]:
    """Yield one line for each combination of Kafka settings that cannot work."""
    yield from _sasl(settings)
    yield from _tls(settings)


def _sasl(settings: KafkaSettings) -> Iterator[str]:
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if not protocol.startswith("SASL_"):
        given = [name for name in _given(settings, "kafka_sasl_") if name != "STREAMS_KAFKA_SASL_OAUTH_SCOPE"]
        if given:
            yield f"{given[0]} has no effect with {protocol}: set STREAMS_KAFKA_SECURITY_PROTOCOL to SASL_SSL."
        return
    if mechanism is None:
        yield f"STREAMS_KAFKA_SECURITY_PROTOCOL is {protocol}: set STREAMS_KAFKA_SASL_MECHANISM as well."
    elif mechanism == "GSSAPI":
        yield (
            "STREAMS_KAFKA_SASL_MECHANISM is GSSAPI, which the Kafka client of this package is not built with: "
            "use SCRAM-SHA-512, OAUTHBEARER or client certificates."
        )
    elif mechanism == "OAUTHBEARER":
        yield from _needed(settings, mechanism, "oauth_url", "oauth_client_id", "oauth_client_secret")
    elif mechanism in _PASSWORD_MECHANISMS:
        yield from _needed(settings, mechanism, "username", "password")


def _tls(settings: KafkaSettings) -> Iterator[str]:
    protocol = settings.kafka_security_protocol
    given = _given(settings, "kafka_ssl_")
    if given and "SSL" not in protocol.removeprefix("SASL_"):
        yield f"{given[0]} has no effect with {protocol}: set STREAMS_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL."
    if (settings.kafka_ssl_cert is None) != (settings.kafka_ssl_key is None):
        yield "STREAMS_KAFKA_SSL_CERT and STREAMS_KAFKA_SSL_KEY go together: set both or neither."
    for name in _FILES:
        path: Path | None = getattr(settings, name)
        if path is not None and not path.exists():
            yield f"STREAMS_{name.upper()} is {path}, which does not exist."


def _needed(settings: KafkaSettings, mechanism: str, *names: str) -> Iterator[str]:
    for name in names:
        if getattr(settings, f"kafka_sasl_{name}") is None:
            yield f"STREAMS_KAFKA_SASL_MECHANISM is {mechanism}: set STREAMS_KAFKA_SASL_{name.upper()} as well."


def _given(settings: Any, begin: str) -> list[str]:
    fields = type(settings).model_fields
    return [
        f"STREAMS_{name.upper()}" for name in fields if name.startswith(begin) and getattr(settings, name) is not None
    ]
