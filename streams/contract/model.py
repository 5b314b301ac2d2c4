"""What all models of the contract share."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


def _open_schema(schema: dict[str, Any]) -> None:
    """Leave `additionalProperties: true` out of a schema: it is the default of JSON Schema."""
    schema.pop("additionalProperties", None)


class ContractModel(BaseModel):
    """A JSON object of an answer.

    A field with a default may be absent. A client keeps members that it does not know: a newer gateway may add some.
    """

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra=_open_schema)

    def to_json(self) -> dict[str, Any]:
        """Return the members that the answer has."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class OpenModel(ContractModel):
    """A JSON object with further members that its schema does not name."""

    model_config = ConfigDict(json_schema_extra=None)


class PoolWithoutWorker(ContractModel):
    """A pool without a live worker: its part of a list is missing."""

    pool: str
    reason: str
