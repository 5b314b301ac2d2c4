"""Settings for the client library, and a password that shows nowhere."""

from __future__ import annotations

from topics.kafka import KafkaConfig


def test_only_what_is_given_is_set() -> None:
    settings = KafkaConfig("a:1").client()
    assert settings["bootstrap.servers"] == "a:1"
    assert settings["security.protocol"] == "PLAINTEXT"
    assert not [name for name in settings if name.startswith(("sasl.", "ssl."))]


def test_credentials_are_mapped_and_more_settings_added() -> None:
    config = KafkaConfig(
        "a:1", "SASL_SSL", "SCRAM-SHA-512", "user", "secret", ssl_ca="ca.pem", ssl_cert="c.pem", ssl_key="k.pem"
    )
    settings = config.client(linger_ms=0, **{"group.id": "g"})
    assert settings["sasl.mechanism"] == "SCRAM-SHA-512"
    assert settings["sasl.username"] == "user"
    assert settings["sasl.password"] == "secret"
    assert settings["ssl.ca.location"] == "ca.pem"
    assert settings["ssl.certificate.location"] == "c.pem"
    assert settings["ssl.key.location"] == "k.pem"
    assert (settings["linger.ms"], settings["group.id"]) == (0, "g")


def test_the_password_is_not_in_the_repr() -> None:
    assert "secret" not in repr(KafkaConfig("a:1", sasl_password="secret"))


def test_a_client_that_is_told_of_no_broker_begins_anew_and_not_in_a_storm() -> None:
    """With "none" it has nobody to ask any more, for good, after a lone broker has come back from a pause."""
    settings = KafkaConfig("a:1").client()
    assert settings["metadata.recovery.strategy"] == "rebootstrap"
    assert settings["reconnect.backoff.ms"] >= 500
