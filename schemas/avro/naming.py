"""The Avro name of a model: its class name within its top package, stable when modules move inside the package."""

import re

from pydantic import BaseModel

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_]+")


def record_name(model: type[BaseModel]) -> str:
    """Return the full Avro name, such as ``schemas.RunSubmitted``."""
    package = _FORBIDDEN.sub("_", model.__module__.split(".", 1)[0])
    return f"{package}.{_FORBIDDEN.sub('_', model.__name__).strip('_')}"
