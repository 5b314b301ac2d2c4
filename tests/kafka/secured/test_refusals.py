"""Wrong credentials, certificates and protocols are named as such, at once, with the setting to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.clock import monotonic
from streams.local.ports import LOOPBACK
from streams.runtime.cluster_queries import answered
from streams.runtime.errors import ClusterUnfitError
from tests.kafka.secured.conftest import USERS, SecuredKafka
from topics.admin import topic_names
from topics.errors import BrokerUnavailableError
from topics.kafka import KafkaConfig


def over_password(secured: SecuredKafka, user: str, password: str) -> KafkaConfig:
    return KafkaConfig(
        f"{LOOPBACK}:{secured.sasl_port}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username=user,
        sasl_password=password,
    )


def over_tls(secured: SecuredKafka, ca: Path) -> KafkaConfig:
    return KafkaConfig(
        f"{LOOPBACK}:{secured.tls_port}",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="admin",
        sasl_password=USERS["admin"],
        ssl_ca=str(ca),
    )


def refused(config: KafkaConfig, timeout: float = 10.0) -> tuple[str, float]:
    began = monotonic()
    with pytest.raises(BrokerUnavailableError) as caught:
        topic_names(config, timeout=timeout)
    return str(caught.value), monotonic() - began


def test_good_credentials_are_taken(secured: SecuredKafka, certificates: Path) -> None:
    topic_names(over_password(secured, "admin", USERS["admin"]))
    topic_names(over_tls(secured, certificates / "ca.crt"))


def test_a_wrong_password_is_named_before_the_time_is_over(secured: SecuredKafka) -> None:
    text, seconds = refused(over_password(secured, "admin", "wrong"), timeout=60.0)
    assert "authentication failed" in text
    assert "STREAMS_KAFKA_SASL_PASSWORD" in text
    assert "is Kafka running there?" not in text
    assert seconds < 60.0


def test_a_wrong_certificate_authority_is_named(secured: SecuredKafka, certificates: Path) -> None:
    text, _ = refused(over_tls(secured, certificates / "other.crt"))
    assert "TLS failed" in text
    assert "STREAMS_KAFKA_SSL_CA" in text


def test_plain_text_to_a_tls_port_is_suspected(secured: SecuredKafka) -> None:
    text, _ = refused(KafkaConfig(f"{LOOPBACK}:{secured.tls_port}"), timeout=5.0)
    assert "STREAMS_KAFKA_SECURITY_PROTOCOL" in text


def test_tls_to_a_plain_port_is_named(secured: SecuredKafka, certificates: Path) -> None:
    config = KafkaConfig(secured.bootstrap, security_protocol="SSL", ssl_ca=str(certificates / "ca.crt"))
    text, _ = refused(config)
    assert "STREAMS_KAFKA_SECURITY_PROTOCOL" in text


def test_a_worker_ends_at_a_wrong_password_with_that_reason(secured: SecuredKafka) -> None:
    client = over_password(secured, "worker", "wrong").client()
    with pytest.raises(ClusterUnfitError, match=r"authentication failed.*STREAMS_KAFKA_SASL_PASSWORD"):
        answered(client, lambda admin: admin.list_topics(timeout=2))
