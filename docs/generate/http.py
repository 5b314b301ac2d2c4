"""The gateway's endpoints, from the OpenAPI document that the gateway serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from docs.generate.markdown import code, table
from streams.app import Catalog
from streams.gateway.app import build
from streams.gateway.deps import Deps
from streams.settings import Settings
from topics.names import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INTRODUCTION: Final = """# HTTP

The gateway serves JSON and describes itself at `/openapi.json` (OpenAPI 3.1); this page is made from that document.
Errors are problem documents (RFC 9457); their types are on the page [Errors](errors.md). [Use the HTTP
API](../how-to/http.md) says how to authenticate, repeat, page and follow.
"""


def document() -> Mapping[str, Any]:
    """Return the OpenAPI document of a gateway that nobody serves."""
    settings = Settings(_env_file=None, gateway_host="127.0.0.1", api_keys=())
    nothing = cast("Any", None)  # endpoints are declared without a log and workers; nothing is asked here
    app = build(Deps(settings, Catalog(), nothing, nothing, Names()))
    return asyncio.run(_get(httpx.ASGITransport(app), "/openapi.json"))


async def _get(transport: httpx.ASGITransport, path: str) -> Mapping[str, Any]:
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        return cast("Mapping[str, Any]", (await client.get(path)).raise_for_status().json())


def page() -> str:
    """Return the page."""
    by_tag: dict[str, list[tuple[str, str, Any]]] = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    parts = [INTRODUCTION]
    for tag in sorted(by_tag):
        parts.append(f"## {tag.capitalize()}\n")
        parts += [_operation(*one) for one in by_tag[tag]]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"### `{method} {path}`\n\n{operation['summary']}.\n"]
    rows = [
        (code(one["name"]), one["in"], _schema(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", ())
    ]
    if rows:
        parts.append(table(("parameter", "in", "type", "meaning"), rows))
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append(table(("body", "fields"), [(code(media), _body(one["schema"])) for media, one in body.items()]))
    parts.append(table(("status", "content", "meaning"), _responses(operation)))
    return "\n".join(parts)


def _responses(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for status, answer in operation["responses"].items():
        yield code(status), ", ".join(code(media) for media in answer.get("content", {})), answer["description"]


def _schema(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(code(one) for one in schema["enum"])
    kinds = schema.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _body(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    named = [
        f"{code(name)} {_schema(one)}{' (required)' if name in required else ''}"
        for name, one in schema.get("properties", {}).items()
    ]
    return ", ".join(named) or _schema(schema)
