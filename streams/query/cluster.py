"""The cluster secret: what workers and gateways show each other, so that nobody else is served by a worker."""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from streams.errors import StreamsError
from streams.serving.hosts import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

FILE: Final = "cluster-secret"
"""The file of a secret that nobody has set, in the user's cache folder: processes of one user on one machine share it,
whatever their state folders are."""


class ClusterSecretError(StreamsError):
    """Raised at the start for a worker that others reach while no secret is set, and for an unsafe file of a secret."""


def cluster_secret(settings: Settings) -> str:
    """Return the secret that is set, else the one of this user on this machine, made with the first question."""
    if settings.cluster_secret is not None:
        return settings.cluster_secret.get_secret_value()
    return _of_user(settings.cache_dir / FILE)


def secured(settings: Settings) -> Settings:
    """Return the settings with a secret in them, so that logs mask it and child processes get it; raises as above."""
    if settings.cluster_secret is not None:
        return settings
    return settings.changed("this user's file", cluster_secret=cluster_secret(settings))


def check_worker(settings: Settings) -> None:
    """Raise ClusterSecretError for a worker that others reach while no secret is set."""
    host, url = settings.worker_host, settings.worker_url
    outside = not is_loopback(host) or (url is not None and not is_loopback(urlsplit(url).hostname or ""))
    if outside and settings.cluster_secret is None:
        message = (
            f"A worker does not answer at {url or host} without a cluster secret: set STREAMS_CLUSTER_SECRET to the "
            "same random text for all workers and gateways, or bind 127.0.0.1."
        )
        raise ClusterSecretError(message)


def authorization(secret: str) -> str:
    """Return the header with which a worker is asked."""
    return f"Bearer {secret}"


def is_authorized(header: bytes, secret: str) -> bool:
    """Return whether an Authorization header shows the secret; the time taken does not depend on where they differ."""
    return hmac.compare_digest(header, authorization(secret).encode())


def _of_user(file: Path) -> str:
    """Return what the file holds, made if absent; of processes that make it at once one wins and all read the same."""
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
                out.write(secrets.token_urlsafe(32))
            try:
                with suppress(FileExistsError):
                    os.link(draft, file)
            finally:
                draft.unlink()
        found = file.read_text("ascii").strip()
        state = file.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        message = f"The cluster secret cannot be kept in {file} ({reason}): set STREAMS_CLUSTER_SECRET."
        raise ClusterSecretError(message) from None
    if len(found) < 16 or state.st_uid != os.getuid() or state.st_mode & 0o077:
        message = (
            f"{file} must be this user's own, with mode 0600 and 16 characters or more: "
            "remove it, or set STREAMS_CLUSTER_SECRET."
        )
        raise ClusterSecretError(message)
    return found
