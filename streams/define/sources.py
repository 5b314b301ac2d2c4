"""The `@source` decorator: a webhook in one function, from a verified delivery to events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from schemas.json_text import parse_json
from streams.define.options import check, decorator, optional, plain_function
from streams.define.policies import Reject
from streams.define.signatures import doc_of, parameters_of, where
from streams.define.verifiers import Verifier
from streams.errors import DefinitionError

_ALIASES = {"webhook-id": "svix-id"}
"""What a sender calls a header that it sends under an older name."""

Handshake = Callable[[Mapping[str, str]], "str | None"]
Check = Callable[[Mapping[str, str], bytes], bool]


@dataclass(frozen=True)
class Delivery:
    """One webhook request as it came in: header names in lower case, the raw body."""

    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """Return the body as JSON; raise ValueError if it is none. Half a surrogate pair is read as U+FFFD."""
        return parse_json(self.body)


class MalformedBody(Reject):
    """Raised by a source that takes JSON only, for a body that is none: 400 for the sender, and nothing is stored."""


def json_body(delivery: Delivery) -> Any:
    """Return the body as JSON; raise MalformedBody if it is none."""
    try:
        return delivery.json
    except ValueError:
        message = "The body is not the JSON that this source reads."
        raise MalformedBody(message) from None


@dataclass(frozen=True, eq=False)
class SourceDef:
    """A webhook endpoint: who may send, what makes a delivery the same one again, and what it becomes.

    `once_per` is a header name or a function of the delivery whose value identifies it. Where the signature does not
    cover that value, `signed_id` is a function that returns an identity which the signature covers, such as a digest
    of the body, or None for a delivery that has none: a delivery that was captured is then known under every other id.
    `keep` names further headers that are stored with the raw delivery, for its redrive. `handshake` answers a sender
    that wants to be sure of the endpoint before it sends: a function of the query's parameters that returns the text
    for its answer, or None for a question that is not its own.
    """

    name: str
    fn: Callable[[Delivery], Any]
    verify: Verifier | Check
    once_per: str | Callable[[Delivery], str] | None = None
    doc: str = ""
    signed_id: Callable[[Delivery], str | None] | None = None
    keep: tuple[str, ...] = ()
    handshake: Handshake | None = None

    def verified(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Return whether the delivery may be believed; a verifier without any secret believes nothing."""
        scheme, verify = self._scheme, self.verify
        if scheme is not None:
            return scheme.check(headers, body, secrets, now_s)
        return callable(verify) and bool(verify(headers, body))

    def may_verify(self, headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
        """Return whether `verified` may be true for a body: a scheme that names its headers needs them and a secret."""
        needed: Sequence[Sequence[str]] = getattr(self.verify, "needs", ())
        return not needed or (bool(secrets) and any(all(map(headers.get, names)) for names in needed))

    @cached_property
    def _scheme(self) -> Verifier | None:
        """Return the verifier if it is one; found once, since such a check of a protocol costs 10 microseconds."""
        return self.verify if isinstance(self.verify, Verifier) else None

    def delivery_id(self, delivery: Delivery) -> str | None:
        """Return what identifies the delivery, or None when its sender gives nothing."""
        if self.once_per is None:
            return None
        if isinstance(self.once_per, str):
            name = self.once_per.lower()
            return delivery.headers.get(name) or delivery.headers.get(_ALIASES.get(name, name)) or None
        return self.once_per(delivery) or None

    def __call__(self, delivery: Delivery) -> Any:
        """Call the function itself, for tests."""
        return self.fn(delivery)

    def __repr__(self) -> str:
        return f"<source {self.name}>"


@decorator('@source(verify=hmac_sha256("x-signature"))')
def source(
    *,
    verify: Verifier | Check,
    once_per: str | Callable[[Delivery], str] | None = None,
    signed_id: Callable[[Delivery], str | None] | None = None,
    keep: Sequence[str] = (),
    handshake: Handshake | None = None,
) -> Callable[[Callable[[Delivery], Any]], SourceDef]:
    """Make a webhook of a function, served at `/webhooks/<its name>`.

    `verify` is `hmac_sha256(…)`, `standard_webhooks()` or a function of headers and body that returns a bool.
    `once_per` is the header, or the function of the delivery, whose value identifies a delivery. `signed_id` is a
    function of the delivery that returns an id which the signature covers, or None: give it where the signature does
    not cover `once_per`. `keep` names further headers that are stored with the raw delivery, for its redrive.
    `handshake` is a function of the query's parameters that returns the text which a sender expects from a new
    endpoint, such as `hub.challenge`: it is called for each GET and, before the signature is checked, for each POST
    with a query; None goes on as usual.

    Raises DefinitionError, with file and line.
    """

    def make(fn: Callable[[Delivery], Any]) -> SourceDef:
        plain_function(fn, "a source")
        if len(parameters_of(fn)) != 1:
            raise DefinitionError(f"{where(fn)}: a source is a function of one Delivery")
        check(
            fn,
            once_per=(once_per, optional(_once)),
            signed_id=(signed_id, optional(_signed)),
            keep=(keep, _headers),
            handshake=(handshake, optional(_handshake)),
        )
        if not callable(verify) and not isinstance(verify, Verifier):
            raise DefinitionError(f'{where(fn)}: verify= is hmac_sha256("header") or a function of headers and body')
        names = tuple(name.lower() for name in ((keep,) if isinstance(keep, str) else keep))
        return SourceDef(fn.__name__, fn, verify, once_per, doc_of(fn), signed_id, names, handshake)

    return make


def _handshake(value: Any) -> str | None:
    return None if callable(value) else "a function of the query's parameters that returns a text or None"


def _signed(value: Any) -> str | None:
    return None if callable(value) else "a function of the delivery that returns a text or None"


def _headers(value: Any) -> str | None:
    sound = isinstance(value, str | list | tuple) and all(isinstance(name, str) for name in value)
    return None if sound else 'names of headers, as in ["x-event"]'


def _once(value: Any) -> str | None:
    sound = callable(value) or (isinstance(value, str) and value)
    return None if sound else 'the name of a header, "x-delivery", or a function of the delivery'
