"""The three HTTP forms of CloudEvents 1.0 (structured, batch, binary) and our own short form, read into one shape."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from streams.gateway.body import UNSUPPORTED_MEDIA_TYPE, parse
from streams.gateway.problem import INVALID_EVENT, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
MAX_BATCH: Final = 1_000
"""Events that one batch may hold."""

_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,64}")
_OWN: Final = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "subject"})
_DATA: Final = frozenset({"data", "data_base64"})
_SHORT: Final = frozenset({"type", "key", "data", "id"})
_JSON: Final = re.compile(r"(?:application|text)/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_MAX_TEXT: Final = 1_024


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event as its sender gave it, not yet checked against a schema."""

    type: str
    data: Any
    id: str | None = None
    key: str | None = None
    source: str | None = None
    time: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


def parse_events(headers: Mapping[str, str], body: bytes) -> tuple[list[Incoming], bool]:
    """Return a request's events, and whether it was a batch; Problem 400, 415 or 422 if it is none of the forms."""
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == STRUCTURED:
        return [_structured(parse(body), "")], False
    if media_type == BATCH:
        return _batch(parse(body)), True
    if media_type.startswith("application/cloudevents"):
        raise UNSUPPORTED_MEDIA_TYPE(f"CloudEvents are read as {STRUCTURED} or {BATCH}.")
    if "ce-specversion" in headers or "ce-type" in headers:
        return [_binary(headers, content_type, body)], False
    return [_short(parse(body))], False


def _short(value: object) -> Incoming:
    if not isinstance(value, dict):
        raise invalid("body", "it must be an object with type, data and, if wanted, key and id")
    for name in value:
        if name not in _SHORT:
            raise invalid(name, "it is not known; type, key, data and id are")
    if "data" not in value:
        raise invalid("data", "it is missing")
    return Incoming(
        type=_text(value.get("type"), "type"),
        data=value["data"],
        id=None if value.get("id") is None else _text(value["id"], "id"),
        key=None if value.get("key") is None else _text(value["key"], "key"),
    )


def _batch(value: object) -> list[Incoming]:
    if not isinstance(value, list):
        raise invalid("body", "a batch must be an array")
    if len(value) > MAX_BATCH:
        raise invalid("body", f"a batch holds at most {MAX_BATCH} events")
    return [_structured(item, f"{index}.") for index, item in enumerate(value)]


def _structured(value: object, at: str) -> Incoming:
    if not isinstance(value, dict):
        raise invalid(at.rstrip(".") or "body", "an event must be an object")
    return _event({name: item for name, item in value.items() if name not in _DATA}, _payload(value, at), at)


def _payload(value: Mapping[str, Any], at: str) -> object:
    if "data_base64" not in value:
        return value.get("data")
    if "data" in value:
        raise invalid(f"{at}data_base64", "an event has data or data_base64, not both")
    try:
        raw = base64.b64decode(_text(value["data_base64"], f"{at}data_base64", limit=None), validate=True)
    except binascii.Error:
        raise invalid(f"{at}data_base64", "it is not base64") from None
    _check_json(value.get("datacontenttype") or "application/json")
    return parse(raw)


def _binary(headers: Mapping[str, str], content_type: str, body: bytes) -> Incoming:
    _check_json(content_type or "application/json")
    attributes = {name[3:]: unquote(text) for name, text in headers.items() if name.startswith("ce-")}
    return _event(attributes, parse(body) if body else None, "")


def _event(attributes: Mapping[str, Any], data: object, at: str) -> Incoming:
    version = attributes.get("specversion")
    if version != "1.0":
        raise invalid(f"{at}specversion", "it must be 1.0")
    extra: dict[str, str] = {}
    for name, value in attributes.items():
        if _ATTRIBUTE.fullmatch(name) is None:
            raise invalid(f"{at}{name}"[:_MAX_TEXT], "names of attributes are lower-case letters and digits")
        if name not in _OWN and value is not None:
            extra[name] = _plain(value, f"{at}{name}")
    if content_type := attributes.get("datacontenttype"):
        _check_json(content_type)
    subject = attributes.get("subject")
    if subject is not None:
        extra["subject"] = _text(subject, f"{at}subject")
    time = attributes.get("time")
    return Incoming(
        type=_text(attributes.get("type"), f"{at}type"),
        data=data,
        id=_text(attributes.get("id"), f"{at}id"),
        key=extra.pop("partitionkey", None),
        source=_text(attributes.get("source"), f"{at}source"),
        time=None if time is None else _text(time, f"{at}time"),
        extra=extra,
    )


def _plain(value: object, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _text(value, name)


def _text(value: object, name: str, limit: int | None = _MAX_TEXT) -> str:
    if value is None:
        raise invalid(name, "it is missing")
    if not isinstance(value, str) or not value or (limit is not None and len(value) > limit):
        raise invalid(name, "it must be a text that is neither empty nor very long")
    return value


def _check_json(content_type: object) -> None:
    if not isinstance(content_type, str) or _JSON.fullmatch(content_type) is None:
        raise UNSUPPORTED_MEDIA_TYPE("The data of an event must be JSON.")


def invalid(name: str, message: str) -> Problem:
    """Return the 422 that names the field of an event that is wrong."""
    return INVALID_EVENT(f"{name}: {message}.", errors=[{"field": name, "message": message}])
