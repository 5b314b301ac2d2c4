"""The `@source` decorator: a webhook in one function, from a verified delivery to events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from streams.define.options import check, decorator, optional, plain_function
from streams.define.signatures import doc_of, parameters_of, where
from streams.define.verifiers import Verifier
from streams.errors import DefinitionError

Check = Callable[[Mapping[str, str], bytes], bool]


@dataclass(frozen=True)
class Delivery:
    """One webhook request as it came in: header names in lower case, the raw body."""

    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """Return the body as JSON; raise ValueError if it is none."""
        return orjson.loads(self.body)


@dataclass(frozen=True, eq=False)
class Source:
    """A webhook endpoint: who may send, what makes a delivery the same one again, and what it becomes.

    `once_per` is a header name or a function of the delivery whose value identifies it.
    """

    name: str
    fn: Callable[[Delivery], Any]
    verify: Verifier | Check
    once_per: str | Callable[[Delivery], str] | None = None
    doc: str = ""

    def verified(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> bool:
        """Say whether the delivery may be believed; a verifier without any secret believes nothing."""
        scheme, verify = self._scheme, self.verify
        if scheme is not None:
            return scheme.check(headers, body, secrets, now_s)
        return callable(verify) and bool(verify(headers, body))

    @cached_property
    def _scheme(self) -> Verifier | None:
        """Return the verifier if it is one; found once, since such a check of a protocol costs 10 microseconds."""
        return self.verify if isinstance(self.verify, Verifier) else None

    def delivery_id(self, delivery: Delivery) -> str | None:
        """Return what identifies the delivery, or None when its sender gives nothing."""
        if self.once_per is None:
            return None
        if isinstance(self.once_per, str):
            return delivery.headers.get(self.once_per.lower()) or None
        return self.once_per(delivery) or None

    def __call__(self, delivery: Delivery) -> Any:
        """Call the function itself, for tests."""
        return self.fn(delivery)

    def __repr__(self) -> str:
        return f"<source {self.name}>"


@decorator('@source(verify=hmac_sha256("x-signature"))')
def source(
    *, verify: Verifier | Check, once_per: str | Callable[[Delivery], str] | None = None
) -> Callable[[Callable[[Delivery], Any]], Source]:
    """Make a webhook of a function, served at `/webhooks/<its name>`.

    `verify` is `hmac_sha256(…)`, `standard_webhooks()` or a function of headers and body, `once_per` the header or the
    function of the delivery that identifies it. Raises DefinitionError, with file and line.
    """

    def make(fn: Callable[[Delivery], Any]) -> Source:
        plain_function(fn, "a source")
        if len(parameters_of(fn)) != 1:
            raise DefinitionError(f"{where(fn)}: a source is a function of one Delivery")
        check(fn, once_per=(once_per, optional(_once)))
        if not callable(verify) and not isinstance(verify, Verifier):
            raise DefinitionError(f'{where(fn)}: verify= is hmac_sha256("header") or a function of headers and body')
        return Source(fn.__name__, fn, verify, once_per, doc_of(fn))

    return make


def _once(value: Any) -> str | None:
    sound = callable(value) or (isinstance(value, str) and value)
    return None if sound else 'the name of a header, "x-delivery", or a function of the delivery'
