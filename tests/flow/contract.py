"""Checks answers of the gateway against the OpenAPI document that it serves."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import httpx
import jsonschema_rs

from docs.generate.http import served
from streams.gateway.openapi import document

JSON: Final = ("application/json", "application/problem+json")


class ContractError(AssertionError):
    """Raised for an answer that the document does not describe."""


class Contract:
    """A document whose objects have no members but those that they declare.

    Clients must accept further members, so the document leaves them open; a gateway answers none that it does not
    describe.
    """

    def __init__(self, described: dict[str, Any]) -> None:
        self._paths = described["paths"]
        self._components = closed(described["components"])
        by_literals = sorted(self._paths, key=lambda path: (path.count("{"), -len(path)))
        self._patterns = [(re.compile(_pattern(path)), path) for path in by_literals]

    def check(self, method: str, path: str, response: httpx.Response) -> None:
        """Raise ContractError unless the document describes the answer."""
        operation = self._operation(method, path)
        media = response.headers.get("content-type", "").partition(";")[0]
        status = str(response.status_code)
        if operation is None:
            self.check_model("ProblemDocument", response.json())
            return
        described = operation["responses"].get(status)
        if described is None:
            raise ContractError(f"{method} {path}: {status} is not described: {response.text}")
        if media not in described["content"]:
            raise ContractError(f"{method} {path}: {status} as {media} is not described: {response.text}")
        self._check(described["content"][media]["schema"], response.json(), f"{method} {path} {status}")

    def check_model(self, name: str, value: Any) -> None:
        """Raise ContractError unless a value fits the schema with this name."""
        self._check({"$ref": f"#/components/schemas/{name}"}, value, name)

    def _operation(self, method: str, path: str) -> Any:
        for pattern, template in self._patterns:
            if pattern.fullmatch(path) and method.lower() in self._paths[template]:
                return self._paths[template][method.lower()]
        return None

    def _check(self, schema: dict[str, Any], value: Any, what: str) -> None:
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": self._components})
        errors = [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)
        ]
        if errors:
            raise ContractError(f"{what}: {'; '.join(errors)} in {value}")


class CheckedTransport(httpx.AsyncBaseTransport):
    """Carries requests to a gateway, and checks each answer in JSON."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        response = await self._inner.handle_async_request(request)
        if request.method == "HEAD" or response.headers.get("content-type", "").partition(";")[0] not in JSON:
            return response
        body = await response.aread()
        whole = httpx.Response(response.status_code, headers=response.headers, content=body)
        contract().check(request.method, request.url.path, whole)
        return whole


@cache
def contract() -> Contract:
    """Return the contract of all gateways: what is served depends on no setting."""
    return Contract(document(served(), "1", None))


def closed(schema: Any) -> Any:
    """Return a schema whose objects have no members but those that they declare, unless they say otherwise."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


def _pattern(path: str) -> str:
    """Return a pattern for a path; a last parameter may hold slashes."""
    parts = re.split(r"\{\w+\}", path)
    return "".join(f"{re.escape(part)}{'.+' if index < len(parts) - 1 else ''}" for index, part in enumerate(parts))
