"""The OpenAPI 3.1 document, made from the operations that are served and the models that they answer."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streams.contract.problems import ProblemDocument
from streams.gateway.access import FORBIDDEN, FOREIGN_ORIGIN, UNAUTHENTICATED
from streams.gateway.operation import TEXT, TextAnswer
from streams.gateway.problem import BUSY, INTERNAL, MALFORMED_REQUEST, MEDIA_TYPE, METHOD_NOT_ALLOWED, ProblemType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from streams.gateway.operation import Answer, Operation

_PLACEHOLDER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_REF: Final = "#/components/schemas/{model}"
_SECURED: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"header": []}, {}]


def document(operations: Sequence[Operation], version: str, url: str | None) -> dict[str, Any]:
    """Return the document; `url` is where clients reach the gateway."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(_PLACEHOLDER.sub(r"{\1}", operation.path), {})[operation.method.lower()] = _operation(
            operation
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Streams", "version": version, "description": "Durable agents on Kafka, over HTTP."},
        **({"servers": [{"url": url}]} if url else {}),
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def problem_types(operations: Iterable[Operation]) -> list[ProblemType]:
    """Return the types of all problems that the operations can answer, by name."""
    found = {kind for operation in operations for kind in _kinds(operation)} | {METHOD_NOT_ALLOWED}
    return sorted(found, key=lambda kind: kind.name)


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the schemas of all models by name, those inside them included."""
    models: dict[type[BaseModel], None] = {ProblemDocument: None}
    for operation in operations:
        for answer in operation.answers.values():
            models.update((kind, None) for kind in _alternatives(answer) if not isinstance(kind, TextAnswer))
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    return dict(sorted(found["$defs"].items()))


def _operation(operation: Operation) -> dict[str, Any]:
    name = f"{operation.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', operation.path.lower()).strip('_')}".rstrip("_")
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": _responses(operation),
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


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {
        str(status): {"description": HTTPStatus(status).phrase, "content": _content(answer)}
        for status, answer in operation.answers.items()
    }
    for status, response in _problems(operation).items():
        if status in found:
            found[status]["content"].update(response["content"])
        else:
            found[status] = response
    return found


def _content(answer: Answer) -> dict[str, Any]:
    """Return the media types of an answer, several models of one media type as alternatives."""
    by_media: dict[str, list[Mapping[str, Any]]] = {}
    for kind in _alternatives(answer):
        if isinstance(kind, TextAnswer):
            by_media.setdefault(kind.media, []).append(kind.event or TEXT)
        else:
            by_media.setdefault("application/json", []).append({"$ref": _REF.format(model=kind.__name__)})
    return {
        media: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        for media, schemas in by_media.items()
    }


def _alternatives(answer: Answer) -> tuple[type[BaseModel] | TextAnswer, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _kinds(operation: Operation) -> list[ProblemType]:
    """Return the types of problems that an operation can answer."""
    kinds = [*operation.problems, INTERNAL]
    if operation.access != "open":
        kinds += [UNAUTHENTICATED, FORBIDDEN]
    if not operation.foreign:
        kinds += [FOREIGN_ORIGIN, MALFORMED_REQUEST]
    if operation.method != "GET":
        kinds += [BUSY]
    return list(dict.fromkeys(kinds))


def _problems(operation: Operation) -> dict[str, Any]:
    by_status: dict[int, list[ProblemType]] = {}
    for kind in _kinds(operation):
        by_status.setdefault(kind.status, []).append(kind)
    return {
        str(status): {
            "description": "; ".join(kind.title for kind in found),
            "content": {
                MEDIA_TYPE: {
                    "schema": {
                        "$ref": _REF.format(model=ProblemDocument.__name__),
                        "properties": {"type": {"enum": [kind.uri for kind in found]}},
                    }
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for name in _PLACEHOLDER.findall(path):
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
