"""Base images where no image registry is reached: Debian by debootstrap, Kafka from its own jars."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from streams.local.jars import KAFKA_VERSION, install
from streams.settings import cache_home

PYTHON: Final = "streams-test/python:3.11"
KAFKA: Final = f"streams-test/kafka:{KAFKA_VERSION}"
_PACKAGES: Final = "python3,python3-venv,openjdk-17-jre-headless,ca-certificates"
_HERE: Final = Path(__file__).parent / "kafka"
_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"


def missing_tools() -> list[str]:
    """Return the tools of these tests that this machine lacks."""
    return [tool for tool in ("docker", "docker-compose", "debootstrap") if shutil.which(tool) is None]


def docker(*arguments: str, timeout: float = 600, **options: object) -> str:
    """Run docker and return what it printed; CalledProcessError with its error output when it fails."""
    done = subprocess.run(
        ["docker", *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,  # type: ignore[call-overload]
    )
    return str(done.stdout)


def build() -> None:
    """Make both base images, once a machine."""
    if not _exists(PYTHON):
        _debian()
    if not _exists(KAFKA):
        _kafka()


def _exists(image: str) -> bool:
    return bool(docker("images", "--quiet", image).strip())


def _debian() -> None:
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        root = Path(folder) / "root"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)],
            check=True,
            capture_output=True,
        )
        shutil.copyfile(_AUTHORITIES, f"{root}{_AUTHORITIES}")  # this network may have an authority of its own
        (root / "usr/bin/python").symlink_to("python3")
        shutil.rmtree(root / "var/cache/apt")
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            docker("import", "--change", f"ENV PIP_CERT={_AUTHORITIES}", "-", PYTHON, stdin=tar.stdout)


def _kafka() -> None:
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        context = Path(folder)
        shutil.copytree(_HERE, context, dirs_exist_ok=True)
        (context / "libs").mkdir()
        for jar in install(cache_home() / f"kafka-{KAFKA_VERSION}"):
            shutil.copyfile(jar, context / "libs" / jar.name)
        docker("build", "--build-arg", f"BASE={PYTHON}", "--tag", KAFKA, str(context))
