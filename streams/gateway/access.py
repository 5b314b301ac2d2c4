"""Access: API keys with scopes, and no commands from other web sites to a gateway on loopback."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from streams.errors import StreamsError
from streams.gateway.problem import MALFORMED_REQUEST, Problem, ProblemType
from streams.serving.hosts import host_name, is_foreign, is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import HTTPConnection

    from streams.settings import ApiKey

UNAUTHENTICATED: Final = ProblemType("unauthenticated", 401, "A valid API key is needed")
FORBIDDEN: Final = ProblemType("forbidden", 403, "The API key lacks the scope")
FOREIGN_ORIGIN: Final = ProblemType("foreign-origin", 403, "Requests from other sites are refused")

SHORT_KEY: Final = 16
"""Characters under which an API key is warned about; 128 random bits are 22 in base64."""

_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="streams"'}


log = logging.getLogger(__name__)


class UnsafeBindError(StreamsError):
    """Raised at the start when the gateway would be reachable from outside without a key, or has a blank secret."""


class Caller(NamedTuple):
    """Who sends a request; `name` enters the ids made from idempotency keys, so that callers cannot meet.

    `types` are the types of events that the caller may publish, as the setting of its key has them; None: all.
    """

    name: str
    scopes: frozenset[str]
    types: tuple[str, ...] | None = None

    def may(self, scope: str) -> bool:
        """Return whether the caller has the scope; `admin` has all."""
        return scope in self.scopes or "admin" in self.scopes

    def may_publish(self, event_type: str) -> bool:
        """Return whether events of this type are among those of the caller's key: by name, or below `shop.*`."""
        return self.types is None or any(
            allowed in ("*", event_type) or (allowed.endswith(".*") and event_type.startswith(allowed[:-1]))
            for allowed in self.types
        )


ANYONE: Final = Caller("", frozenset({"submit", "read", "approve", "admin"}))
"""The caller on loopback when no key is set."""


class Keys:
    """The live API keys, in memory as SHA-256 only."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        """Refuse blank keys with UnsafeBindError."""
        self._known: list[tuple[bytes, Caller]] = []
        for key in keys:
            text = key.key.get_secret_value()
            if not text.strip():
                message = "STREAMS_API_KEYS holds an empty key: fill it in with 16 random bytes or more, or remove it."
                raise UnsafeBindError(message)
            if len(text) < SHORT_KEY:
                log.warning("STREAMS_API_KEYS holds a key of under %d characters, which can be guessed", SHORT_KEY)
            digest = hashlib.sha256(text.encode()).digest()
            self._known.append((digest, Caller(digest.hex()[:16], frozenset(key.scopes), key.types)))

    def __bool__(self) -> bool:
        """Return whether any key is set."""
        return bool(self._known)

    def find(self, text: str) -> Caller | None:
        """Return whose key this is; every known key is compared, so that the time taken reveals nothing."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def caller(self, request: HTTPConnection) -> Caller | None:
        """Return who sends `request`, None if it carries no key; Problem 401 when it carries a wrong one."""
        caller = self.known(request)
        if caller is None and ("authorization" in request.headers or "x-api-key" in request.headers):
            raise unauthenticated()
        return caller

    def known(self, request: HTTPConnection) -> Caller | None:
        """Return who sends `request`, None if it carries no live key."""
        if not self._known:
            return ANYONE
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            text = request.headers.get("x-api-key", "")
        return self.find(text.strip()) if text else None


def unauthenticated() -> Problem:
    """Return the one answer to a missing or wrong key."""
    return UNAUTHENTICATED("Send a live API key as 'Authorization: Bearer KEY'.", headers=_CHALLENGE)


def allow(caller: Caller | None, scope: str) -> Caller:
    """Return the caller; Problem 401 if there is none, 403 if the scope is not among theirs."""
    if caller is None:
        raise unauthenticated()
    if not caller.may(scope):
        raise FORBIDDEN(f"This needs a key with scope '{scope}'.", scope=scope)
    return caller


def check_bind(host: str, keys: Keys) -> None:
    """Raise UnsafeBindError for an address that others reach while no key is set."""
    if not keys and not is_loopback(host):
        message = (
            f"The gateway does not bind {host} without keys: set STREAMS_API_KEYS, such as "
            '{"a-long-random-text": ["submit", "read"]}, or bind 127.0.0.1.'
        )
        raise UnsafeBindError(message)


def check_origin(request: HTTPConnection, hosts: frozenset[str]) -> None:
    """Raise Problem 403 for what a page of another site would send: a foreign Origin, or a name rebound to loopback."""
    named = request.headers.getlist("host")
    if len(named) > 1:
        raise MALFORMED_REQUEST("The request has several Host headers.")
    host = named[0] if named else ""
    if hosts and host and host_name(host) not in hosts:
        raise FOREIGN_ORIGIN("The Host header names another site; use 127.0.0.1, or set STREAMS_ADVERTISED_URL.")
    if is_foreign(request.headers.get("origin"), host):
        raise FOREIGN_ORIGIN("The request comes from a page of another site.")
