"""Field types that pydantic lacks: a JSON value that travels as text, so that any Avro reader can read it."""

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias


@dataclass(frozen=True, slots=True)
class JsonText:
    """Marks a field whose value is any JSON value in Python and an Avro string with its text on the log."""


Json: TypeAlias = Annotated[Any, JsonText()]
