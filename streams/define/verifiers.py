"""How a webhook proves its sender: HMAC over the raw body, and the Standard Webhooks scheme."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@runtime_checkable
class Verifier(Protocol):
    """Checks a delivery against every live secret, so that secrets can be rotated.

    A property `needs`, the names of headers without which no delivery is believed, lets the gateway refuse one before
    it reads the body.
    """

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Say whether one of the secrets made the signature; headers have lower-case names, now_s is Unix time."""
        ...


@dataclass(frozen=True, slots=True)
class HmacSha256:
    """HMAC-SHA256 of the raw body in one header, as GitHub and many others send it."""

    header: str
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"

    @property
    def needs(self) -> tuple[str, ...]:
        """The header with the signature."""
        return (self.header.lower(),)

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Compare in constant time with the signature that each secret gives; an empty secret never matches."""
        del now_s
        given = headers.get(self.header.lower(), "")
        if not given.startswith(self.prefix):
            return False
        given = given.removeprefix(self.prefix)
        sound = False
        for secret in secrets:
            digest = hmac.digest(secret.encode(), body, "sha256")
            wanted = digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()
            sound |= bool(secret) and hmac.compare_digest(wanted.encode(), given.encode())
        return sound


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """The Standard Webhooks scheme, symmetric: `webhook-id`, `webhook-timestamp`, `webhook-signature` (v1)."""

    tolerance: float = 300.0

    @property
    def needs(self) -> tuple[str, ...]:
        """The scheme's headers."""
        return ("webhook-id", "webhook-timestamp", "webhook-signature")

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Accept when any secret made any of the signatures and the time is within the tolerance (seconds)."""
        message_id = headers.get("webhook-id", "")
        timestamp = headers.get("webhook-timestamp", "")
        if not message_id or not _fresh(timestamp, now_s, self.tolerance):
            return False
        signed = f"{message_id}.{timestamp}.".encode() + body
        given = [part.removeprefix("v1,") for part in headers.get("webhook-signature", "").split(" ")]
        given = [part for part in given if part]
        sound = False
        for secret in secrets:
            key = _key(secret)
            wanted = base64.b64encode(hmac.digest(key, signed, "sha256"))
            for signature in given:
                sound |= bool(key) and hmac.compare_digest(wanted, signature.encode())
        return sound


def hmac_sha256(header: str, *, prefix: str = "", encoding: Literal["hex", "base64"] = "hex") -> HmacSha256:
    """Verify by HMAC-SHA256 of the raw body in `header` (any case), after `prefix`, as hex or base64."""
    return HmacSha256(header.lower(), prefix, encoding)


def standard_webhooks(*, tolerance: float = 300.0) -> StandardWebhooks:
    """Verify by the Standard Webhooks scheme; `tolerance` in seconds bounds the age of a delivery."""
    return StandardWebhooks(tolerance)


def _fresh(timestamp: str, now_s: float, tolerance: float) -> bool:
    return timestamp.isascii() and timestamp.isdigit() and abs(now_s - int(timestamp)) <= tolerance


def _key(secret: str) -> bytes:
    """Return the bytes of a secret: base64 after `whsec_`, as the scheme says, else the text itself."""
    text = secret.removeprefix("whsec_")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()
