"""The OpenAPI 3.1 document, made from the operations that are served, so that it cannot say anything else."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from streams.gateway.problem import KINDS, MEDIA_TYPE, TYPE_PREFIX
from streams.gateway.sse import MEDIA_TYPE as MEDIA_STREAM
from streams.gateway.sse import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.gateway.operation import Operation

_PLACE: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [TYPE_PREFIX + kind for kind in sorted(KINDS)]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "run_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_STREAM: Final = {MEDIA_STREAM: {"schema": SCHEMA}}
_SECURED: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"header": []}, {}]
_ALWAYS: Final = ("internal",)
_FOREIGN: Final = "foreign-origin"
_GUARDED: Final = ("unauthenticated", "forbidden", _FOREIGN)


def document(operations: Sequence[Operation], version: str, url: str | None) -> dict[str, Any]:
    """Return the document; `url` is where clients reach the gateway."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(_PLACE.sub(r"{\1}", operation.path), {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Streams", "version": version, "description": "Durable agents on Kafka, over HTTP."},
        **({"servers": [{"url": url}]} if url else {}),
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    name = f"{operation.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', operation.path.lower()).strip('_')}".rstrip("_")
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {**_answers(operation), **_problems(operation)},
    }
    if parameters := [*_path_parameters(operation.path), *_parameters(operation)]:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {media: {"schema": schema} for media, schema in operation.body.items()},
        }
    if operation.access != "open":
        described["security"] = _SECURED
    return described


def _answers(operation: Operation) -> dict[str, Any]:
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {operation.media: {"schema": schema}, **(_STREAM if operation.streamed else {})},
        }
        for status, schema in operation.answers.items()
    }


def _problems(operation: Operation) -> dict[str, Any]:
    kinds = [*operation.problems, *_ALWAYS]
    if operation.access == "open":
        kinds += [_FOREIGN]
    else:
        kinds += [*_GUARDED] if operation.access != "optional" else [*_GUARDED[:2]]
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(KINDS[kind].status, []).append(kind)
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": "; ".join(KINDS[kind].title for kind in found), "content": problem}
        for status, found in sorted(by_status.items())
        if status not in operation.answers
    }


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for name in _PLACE.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for param in operation.params:
        yield {
            "name": param.name,
            "in": param.where,
            "required": False,
            "description": param.description,
            "schema": param.schema,
        }
