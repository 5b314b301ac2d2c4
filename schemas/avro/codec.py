"""Turns records into bytes and back: the Confluent wire format, a zero byte, the schema id, and the Avro body.

Everything that depends on the class alone is built once and kept: a record costs one call into the compiled Avro
library each way, and one into pydantic when it is read.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, TypeVar, overload

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import UnknownType
from pydantic import BaseModel

from schemas.avro.datum import datum_of, fields_of, reader_of
from schemas.avro.derive import avro_schema
from schemas.avro.registry import Registry
from schemas.avro.writer import UnusualError, flat_writer
from schemas.errors import UndecodableError, UnencodableError, UnknownSchemaError

M = TypeVar("M", bound=BaseModel)

_PREFIX = 5
_NO_VALUE = "the record has no value"
_UNUSUAL = (UnusualError, ValueError, TypeError, KeyError)


def encode(record: BaseModel, schema_id: int) -> bytes:
    """Return a record's bytes under a given schema id; raises UnencodableError."""
    return _Encoder(type(record), schema_id).of_fields(record.__dict__)


def schema_id_of(data: bytes) -> int:
    """Return the id of the schema that bytes were written with; raises UndecodableError if they are no record."""
    if len(data) < _PREFIX or data[0] != 0:
        raise UndecodableError(_not_a_record(data))
    return int.from_bytes(data[1:_PREFIX], "big")


class Codec:
    """Encodes and decodes by the schemas of one registry."""

    def __init__(self, registry: Registry) -> None:
        """Keep the registry; it is asked once for each class and id."""
        self._registry = registry
        self._encoders: dict[type[BaseModel], _Encoder] = {}
        self._decoders: dict[tuple[int, type[BaseModel] | None], Callable[[bytes], Any]] = {}
        self._partial: dict[tuple[int, frozenset[str]], Callable[[bytes], Any]] = {}

    def encode(self, record: BaseModel) -> bytes:
        """Return the record's bytes; raises UnencodableError, or SchemaError if the registry has no id for it."""
        return self._encoder(type(record)).of_fields(record.__dict__)

    def encode_fields(self, model: type[BaseModel], fields: dict[str, Any]) -> bytes:
        """Return the bytes of a record that is never made: its fields by name, all of them, unvalidated and unchanged.

        For machinery that knows its values to be right and writes many; raises as ``encode`` does.
        """
        return self._encoder(model).of_fields(fields)

    def encode_values(self, model: type[BaseModel], values: Sequence[Any]) -> bytes:
        """Return the bytes of a record that is never made, from the values of all its fields in the model's order."""
        return self._encoder(model).of_values(values)

    @overload
    def decode(self, data: bytes | None, model: type[M]) -> M: ...

    @overload
    def decode(self, data: bytes | None, model: None = None) -> dict[str, Any]: ...

    def decode(self, data: bytes | None, model: type[M] | None = None) -> M | dict[str, Any]:
        """Return the record that bytes hold, as the model, whichever version of its schema wrote it.

        Without a model: its fields as plain Python values. Raises UndecodableError with the cause, and
        RegistryUnavailableError where asking again may help.
        """
        if data is None:
            raise UndecodableError(_NO_VALUE)
        schema_id = schema_id_of(data)
        decoder = self._decoders.get((schema_id, model))
        if decoder is None:
            decoder = self._decoders[schema_id, model] = self._decoder(schema_id, model)
        decoded: M | dict[str, Any] = decoder(data)
        return decoded

    def decode_dict(self, data: bytes | None) -> dict[str, Any]:
        """Return the fields that bytes hold as plain Python values, without making a model: the cheapest way to read.

        Raises UndecodableError.
        """
        return self.decode(data, None)

    def decode_members(self, data: bytes | None, names: frozenset[str]) -> dict[str, Any]:
        """Return the fields of some names, as far as the record has them; the others are skipped and not made.

        Raises as ``decode`` does.
        """
        if data is None:
            raise UndecodableError(_NO_VALUE)
        schema_id = schema_id_of(data)
        decoder = self._partial.get((schema_id, names))
        if decoder is None:
            decoder = self._partial[schema_id, names] = self._decoder(schema_id, None, names)
        decoded: dict[str, Any] = decoder(data)
        return decoded

    def schema_of(self, data: bytes) -> dict[str, Any]:
        """Return the schema that bytes were written with, which the caller must not change.

        Raises UndecodableError, and RegistryUnavailableError where asking again may help.
        """
        return self._written(schema_id_of(data))

    def _encoder(self, model: type[BaseModel]) -> "_Encoder":
        encoder = self._encoders.get(model)
        if encoder is None:
            encoder = self._encoders[model] = _Encoder(model, self._registry.id_of(model))
        return encoder

    def _decoder(
        self, schema_id: int, model: type[BaseModel] | None, names: frozenset[str] | None = None
    ) -> Callable[[bytes], Any]:
        wanted = None if model is None else avro_schema(model)
        written = self._written(schema_id)
        try:
            return _decoder(written, wanted if names is None else _part(written, names), model)
        except Exception as error:
            message = f"the schema with id {schema_id} cannot be used: {_line(error)}"
            raise UndecodableError(message) from error

    def _written(self, schema_id: int) -> dict[str, Any]:
        try:
            return self._registry.schema_of(schema_id)
        except UnknownSchemaError as error:
            raise UndecodableError(str(error)) from error


class _Encoder:
    """Writes the records of one class under one schema id."""

    def __init__(self, model: type[BaseModel], schema_id: int) -> None:
        derived = avro_schema(model)
        self.fields = tuple(field["name"] for field in derived["fields"])
        self._model = model
        self._schema = parse_schema(derived)
        self._datum = datum_of(model)
        self._prefix = b"\0" + schema_id.to_bytes(4, "big")
        self._flat = flat_writer(model, derived)

    def of_fields(self, fields: Mapping[str, Any]) -> bytes:
        """Return the bytes of a record by its fields' names."""
        if self._flat is not None:
            try:
                return self._prefix + self._flat([fields[name] for name in self.fields])
            except _UNUSUAL:  # the library takes it, or says what is wrong
                return self._patiently(dict(fields))
        return self._patiently(dict(fields))

    def of_values(self, values: Sequence[Any]) -> bytes:
        """Return the bytes of a record by the values of all its fields, in order."""
        if self._flat is not None:
            try:
                return self._prefix + self._flat(values)
            except _UNUSUAL:
                return self._patiently(dict(zip(self.fields, values, strict=True)))
        return self._patiently(dict(zip(self.fields, values, strict=True)))

    def _patiently(self, fields: dict[str, Any]) -> bytes:
        out = BytesIO()
        out.write(self._prefix)
        try:
            schemaless_writer(out, self._schema, self._datum(fields))
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
            message = f"{self._model.__name__} cannot be written: {_line(error)}"
            raise UnencodableError(message) from error
        return out.getvalue()


def _decoder(written: Any, wanted: Any, model: type[BaseModel] | None) -> Callable[[bytes], Any]:
    """Build the reader of one schema into one model; the schemas are resolved only where they differ."""
    settle = reader_of(written)  # also refuses a schema that contains itself
    resolved = wanted not in (None, written)
    if resolved:
        settle = reader_of(wanted, resolved=True)
    settle = settle or _same
    writer = parse_schema(written)
    reader = parse_schema(wanted) if resolved else None
    validate = _same if model is None else _validator(model)
    name = written["name"] if isinstance(written, dict) else written

    def decode_record(data: bytes) -> Any:
        source = BytesIO(data)
        source.seek(_PREFIX)
        try:
            values = schemaless_reader(source, writer, reader)
            if source.tell() == len(data):
                return validate(settle(values))
        except Exception as error:
            message = f"the body is no {name}: {_line(error)}"
            raise UndecodableError(message) from error
        message = f"the body is no {name}: {len(data) - source.tell()} bytes are left over"
        raise UndecodableError(message)

    return decode_record


def _part(written: Any, names: frozenset[str]) -> Any:
    """Return the schema of some fields of a record; the whole one where a field needs what another one defines."""
    if not isinstance(written, dict) or written["type"] != "record":
        return written
    part = {**written, "fields": [field for field in written["fields"] if field["name"] in names]}
    try:
        parse_schema(part)
    except UnknownType:
        return written
    return part


def _validator(model: type[BaseModel]) -> Callable[[Any], Any]:
    validate, convert = model.__pydantic_validator__.validate_python, fields_of(model)
    if convert is None:
        return validate
    return lambda values: validate(convert(values), by_alias=True, by_name=True)


def _line(error: Exception) -> str:
    """Return an error as one line of bounded length, whatever its message quotes."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _same(value: Any) -> Any:
    return value


def _not_a_record(data: bytes) -> str:
    if len(data) < _PREFIX:
        return f"{len(data)} bytes are too few for a record: a zero byte, four of schema id, and a body"
    return f"the first byte is {data[0]:#04x}, not zero: not written with a schema id (Confluent wire format)"
