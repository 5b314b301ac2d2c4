"""Schema ids from a Confluent-compatible registry, for those who share it with other systems."""

from typing import Any

import httpx
import orjson
from pydantic import BaseModel

from schemas.avro.derive import avro_schema
from schemas.avro.naming import record_name
from schemas.errors import RegistryUnavailableError, SchemaError, UnknownSchemaError

_TYPE = "application/vnd.schemaregistry.v1+json"
_AVRO = "AVRO"
_REFUSED = (409, 422)
_TRANSIENT = 500


class ConfluentRegistry:
    """Registers each model under its full record name and looks ids up, once each; blocking at first use.

    ``auth`` is user and password, ``transport`` replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        auth: tuple[str, str] | None = None,
        *,
        timeout: float = 10.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect lazily; ``timeout`` is in seconds for each request."""
        self._client = httpx.Client(
            base_url=url.rstrip("/"), auth=auth, timeout=timeout, transport=transport, headers={"Accept": _TYPE}
        )
        self._url = url
        self._ids: dict[type[BaseModel], int] = {}
        self._schemas: dict[int, dict[str, Any]] = {}

    def id_of(self, model: type[BaseModel]) -> int:
        """Return the model's id, registering its schema if need be.

        Raises SchemaError if the registry finds it incompatible, RegistryUnavailableError if it does not answer.
        """
        known = self._ids.get(model)
        if known is None:
            schema = avro_schema(model)
            body = {"schema": orjson.dumps(schema).decode(), "schemaType": _AVRO}
            answer = self._ask("POST", f"/subjects/{record_name(model)}/versions", body)
            if answer.status_code in _REFUSED:
                message = f"{record_name(model)}: the registry refuses the schema: {answer.text[:200]}"
                raise SchemaError(message)
            known = self._ids[model] = int(self._content(answer)["id"])
            self._schemas[known] = schema
        return known

    def schema_of(self, schema_id: int) -> dict[str, Any]:
        """Return the schema of an id; raises UnknownSchemaError, or RegistryUnavailableError for no answer."""
        known = self._schemas.get(schema_id)
        if known is None:
            answer = self._ask("GET", f"/schemas/ids/{schema_id}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                message = f"schema id {schema_id} is unknown to the registry at {self._url}"
                raise UnknownSchemaError(message)
            content = self._content(answer)
            if content.get("schemaType", _AVRO) != _AVRO or content.get("references"):
                message = f"schema id {schema_id} is no Avro schema that stands alone"
                raise UnknownSchemaError(message)
            known = self._schemas[schema_id] = orjson.loads(content["schema"])
        return known

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        content = None if body is None else orjson.dumps(body)
        try:
            answer = self._client.request(method, path, content=content, headers={"Content-Type": _TYPE})
        except httpx.HTTPError as error:
            message = f"the schema registry at {self._url} does not answer: {error}"
            raise RegistryUnavailableError(message) from error
        if answer.status_code >= _TRANSIENT:
            message = f"the schema registry at {self._url} answers {answer.status_code}; try again later"
            raise RegistryUnavailableError(message)
        return answer

    def _content(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            message = f"the schema registry at {self._url} answers {answer.status_code}: {answer.text[:200]}"
            raise SchemaError(message)
        return answer.json()
