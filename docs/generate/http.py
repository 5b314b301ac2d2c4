"""The gateway's endpoints, from the OpenAPI document that the gateway serves."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

from docs.generate.markdown import code, prose, table
from streams.app import Catalog
from streams.gateway.app import operations, resources
from streams.gateway.deliveries import Deliveries
from streams.gateway.deps import Deps
from streams.gateway.gateway_metrics import GatewayMetrics
from streams.gateway.openapi import document
from streams.gateway.operation import JSON
from streams.gateway.problem import MEDIA_TYPE, TYPE_PREFIX
from streams.gateway.sse import Streams
from streams.gateway.token_fanout import TokenFanout
from streams.settings import Settings
from topics.names import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.gateway.operation import Operation

INTRODUCTION: Final = """# HTTP

The gateway serves JSON and describes itself at `/openapi.json` (OpenAPI 3.1); this page is made from that document.
Errors are problem documents (RFC 9457); each status names the types that it can have, without the prefix
`urn:streams:problem:`, and the page [Errors](errors.md) lists them. [Use the HTTP API](../how-to/http.md) says how to
authenticate, repeat, page and follow.
"""


def served() -> list[Operation]:
    """Return the operations of a gateway that nobody serves."""
    settings = Settings(_env_file=None, gateway_host="127.0.0.1", api_keys=())
    nothing = cast("Any", None)  # operations are declared without a log and workers; nothing is asked here
    deps = Deps(settings, Catalog(), nothing, nothing, Names())
    return operations(resources(deps, Deliveries(), GatewayMetrics(), Streams(), TokenFanout(nothing)), None)


def page() -> str:
    """Return the page."""
    by_tag: dict[str, list[tuple[str, str, Any]]] = {}
    described = document(served(), version("streams"), None)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    parts = [INTRODUCTION]
    for tag in sorted(by_tag):
        parts.append(f"## {tag.capitalize()}\n")
        parts += [_operation(*one) for one in by_tag[tag]]
    parts.append("## Answers\n")
    parts += [_model(name, schema) for name, schema in described["components"]["schemas"].items()]
    return "\n".join(parts)


def _model(name: str, schema: Mapping[str, Any]) -> str:
    about = f"### `{name}`\n\n{prose(schema.get('description', ''))}\n"
    if "properties" not in schema:
        return about
    required = schema.get("required", ())
    rows = [
        (code(field), _schema(one), "" if field in required else "may be absent", one.get("description", ""))
        for field, one in schema["properties"].items()
    ]
    return f"{about}\n{table(('field', 'type', '', 'meaning'), rows)}"


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
        content = answer.get("content", {})
        yield (
            code(status),
            ", ".join(_content(media, one["schema"]) for media, one in content.items()),
            answer["description"],
        )


def _content(media: str, schema: Mapping[str, Any]) -> str:
    """Return the model of a JSON answer, the types of problems, the media type of any other answer."""
    if media == MEDIA_TYPE:
        return ", ".join(code(kind.removeprefix(TYPE_PREFIX)) for kind in schema["properties"]["type"]["enum"])
    return _schema(schema) if media == JSON else code(media)


def _schema(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_schema(one) for one in schema["anyOf"])
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(code(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_schema(schema['items'])}"
    kinds = schema.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _body(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    named = [
        f"{code(name)} {_schema(one)}{' (required)' if name in required else ''}"
        for name, one in schema.get("properties", {}).items()
    ]
    return ", ".join(named) or _schema(schema)
