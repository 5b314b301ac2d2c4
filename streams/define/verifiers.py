"""How a webhook proves its sender: HMAC over the raw body, and the Standard Webhooks scheme."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from streams.define.options import duration, known_options, written_at
from streams.errors import DefinitionError


@runtime_checkable
class Verifier(Protocol):
    """Checks a delivery against every live secret, so that secrets can be rotated.

    A property `needs` lets the gateway refuse a delivery before it reads the body: sets of header names, of one of
    which every header must be there.
    """

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Return whether one of the secrets made the signature; headers have lower-case names, now_s is Unix time."""
        ...


@dataclass(frozen=True, slots=True)
class HmacSha256:
    """HMAC-SHA256 of the raw body in one header, as GitHub and many others send it."""

    header: str
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """The header with the signature."""
        return ((self.header.lower(),),)

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Compare in constant time with the signature that each secret gives; an empty secret never matches."""
        del now_s
        given = headers.get(self.header.lower(), "")
        if not given.startswith(self.prefix):
            return False
        given = given.removeprefix(self.prefix)
        if self.encoding == "hex":
            given = given.lower()  # RFC 4648, section 8: either case is the same digest
        sound = False
        for secret in secrets:
            digest = hmac.digest(secret.encode(), body, "sha256")
            wanted = digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()
            sound |= bool(secret) and hmac.compare_digest(wanted.encode(), given.encode())
        return sound


_SENDERS = ("webhook", "svix")


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """The Standard Webhooks scheme, symmetric: `webhook-id`, `webhook-timestamp`, `webhook-signature` (v1).

    Svix, from which the scheme comes, calls the same headers `svix-id`, `svix-timestamp` and `svix-signature`.
    """

    tolerance: float = 300.0

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """The scheme's headers, under either name."""
        return tuple(tuple(f"{sender}-{part}" for part in ("id", "timestamp", "signature")) for sender in _SENDERS)

    def check(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Accept when any secret made any of the signatures and the time is within the tolerance (seconds)."""
        sender = "webhook" if headers.get("webhook-id") else "svix"
        message_id = headers.get(f"{sender}-id", "")
        timestamp = headers.get(f"{sender}-timestamp", "")
        if not message_id or not _fresh(timestamp, now_s, self.tolerance):
            return False
        signed = f"{message_id}.{timestamp}.".encode() + body
        given = [part.removeprefix("v1,") for part in headers.get(f"{sender}-signature", "").split(" ")]
        given = [part for part in given if part]
        sound = False
        for key in (key for secret in secrets for key in _keys(secret)):
            wanted = base64.b64encode(hmac.digest(key, signed, "sha256"))
            for signature in given:
                sound |= hmac.compare_digest(wanted, signature.encode())
        return sound


@known_options
def hmac_sha256(header: str, *, prefix: str = "", encoding: Literal["hex", "base64"] = "hex") -> HmacSha256:
    """Verify by HMAC-SHA256 of the raw body in `header` (any case), after `prefix`, as hex or base64."""
    if not isinstance(header, str) or not header or not isinstance(prefix, str) or encoding not in {"hex", "base64"}:
        raise DefinitionError(
            f'{written_at()}: write hmac_sha256("x-signature", prefix="sha256=", encoding="hex"), '
            f"the encoding hex or base64: correct {header!r}, {prefix!r}, {encoding!r}"
        )
    return HmacSha256(header.lower(), prefix, encoding)


@known_options
def standard_webhooks(*, tolerance: float = 300.0) -> StandardWebhooks:
    """Verify by the Standard Webhooks scheme; `tolerance` in seconds bounds the age of a delivery."""
    if duration(tolerance) is not None:
        raise DefinitionError(f"{written_at()}: standard_webhooks(tolerance={tolerance!r}): {duration(tolerance)}")
    return StandardWebhooks(tolerance)


_MAX_DIGITS = 15
"""Of a time in seconds: longer ones are no time, and Python refuses to read those over 4,300 digits."""


def _fresh(timestamp: str, now_s: float, tolerance: float) -> bool:
    plain = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MAX_DIGITS
    return plain and abs(now_s - int(timestamp)) <= tolerance


def _keys(secret: str) -> list[bytes]:
    """Return the keys that a secret can mean: the bytes of its base64, as the scheme has it, and its text.

    A text such as `opensesame12` is base64 by chance, and nothing shows which of the two its sender signs with.
    """
    keys = [secret.encode()]
    try:
        keys.append(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        return [key for key in keys if key]
    return [key for key in keys if key]
