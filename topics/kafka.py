"""How to reach the cluster, and the only place where that becomes librdkafka's settings."""

from dataclasses import dataclass, field
from typing import Any

from topics.reach import Reach


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Address and credentials of a cluster; ``ssl_ca``, ``ssl_cert`` and ``ssl_key`` are paths of PEM files."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    oauth_url: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret: str | None = field(default=None, repr=False)
    oauth_scope: str | None = None
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    client_id: str = "streams"
    reach: Reach = field(default_factory=Reach, repr=False, compare=False)  # what all clients know of the connection

    def client(self, **settings: Any) -> dict[str, Any]:
        """Return the settings for any librdkafka client; ``settings`` are more of them, with ``_`` for ``.``.

        Reconnects are tried at least once a second: the default of ten would outlast a broker's restart by far, and at
        most twice, since a client that begins anew with its bootstrap servers forgets its back-off. It has to begin
        anew: a lone broker that has just come back reports for a moment that there is no broker at all, and a client
        that gets that answer has no broker to ask any more (https://github.com/confluentinc/librdkafka/issues/5301).
        """
        given = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "sasl.oauthbearer.method": None if self.oauth_url is None else "oidc",
            "sasl.oauthbearer.token.endpoint.url": self.oauth_url,
            "sasl.oauthbearer.client.id": self.oauth_client_id,
            "sasl.oauthbearer.client.secret": self.oauth_client_secret,
            "sasl.oauthbearer.scope": self.oauth_scope,
            "ssl.ca.location": self.ssl_ca,
            "ssl.certificate.location": self.ssl_cert,
            "ssl.key.location": self.ssl_key,
            "ssl.key.password": self.ssl_key_password,
            "client.id": self.client_id,
            "reconnect.backoff.ms": 500,
            "reconnect.backoff.max.ms": 1000,
            "metadata.recovery.strategy": "rebootstrap",
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
        return {name: value for name, value in given.items() if value is not None}
