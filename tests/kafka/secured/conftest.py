"""A broker with passwords, TLS and ACLs, beside the open listener that only the tests' own administration uses."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local.kafka import EmbeddedKafka
from streams.local.ports import LOOPBACK, free_ports
from streams.settings import cache_home

USERS = {"gateway": "gateway-password", "worker": "worker-password", "admin": "admin-password", "nobody": "nothing"}
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


class SecuredKafka(EmbeddedKafka):
    """The embedded broker with two more listeners; without an ACL every user but the open listener's is refused."""

    def __init__(self, state_dir: Path, cache_dir: Path, certificates: Path) -> None:
        super().__init__(state_dir, cache_dir)
        self.certificates = certificates
        self.sasl_port, self.tls_port = free_ports([0, 0])

    def _settle_ports(self) -> None:
        super()._settle_ports()
        users = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
        controller = self._ports[1]
        lines = {
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self._ports[0]},CONTROLLER://{LOOPBACK}:{controller},"
            f"SASL://{LOOPBACK}:{self.sasl_port},TLS://{LOOPBACK}:{self.tls_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self._ports[0]},"
            f"SASL://{LOOPBACK}:{self.sasl_port},TLS://{LOOPBACK}:{self.tls_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "SASL:SASL_PLAINTEXT,TLS:SASL_SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": f"{PLAIN} required {users};",
            "listener.name.tls.plain.sasl.jaas.config": f"{PLAIN} required {users};",
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(self.certificates / "broker.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }
        with (self.folder / "server.properties").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in lines.items())


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two certificate authorities and a broker's key and certificate by the first."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.crt",
        )  # fmt: skip
    (folder / "names.cnf").write_text(f"subjectAltName=IP:{LOOPBACK}\n")
    _openssl(
        folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker",
        "-keyout", "broker.key", "-out", "broker.csr",
    )  # fmt: skip
    _openssl(
        folder, "x509", "-req", "-in", "broker.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "names.cnf", "-out", "broker.crt",
    )  # fmt: skip
    _openssl(folder, "pkcs8", "-topk8", "-nocrypt", "-in", "broker.key", "-out", "broker.p8")
    (folder / "broker.pem").write_text((folder / "broker.p8").read_text() + (folder / "broker.crt").read_text())
    return folder


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[SecuredKafka]:
    """Return a running broker that asks who its clients are."""
    with SecuredKafka(tmp_path_factory.mktemp("secured"), cache_home(), certificates) as broker:
        yield broker
