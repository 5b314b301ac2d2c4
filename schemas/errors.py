"""What can go wrong with a schema or with bytes that claim to follow one; each class says who raises it."""


class SchemaError(Exception):
    """Base of every error of this package; raised itself for an ill-formed event class or missing attribute."""


class UnencodableError(SchemaError):
    """Raised by the codec for a record whose values do not fit its schema, such as an integer over 64 bits."""


class UndecodableError(SchemaError):
    """Raised by the codec for bytes that are not a record: wrong first byte, unknown schema id, or a broken body."""


class UnknownSchemaError(SchemaError):
    """Raised by a registry that answered, and does not know the id."""


class RegistryUnavailableError(SchemaError):
    """Raised by a registry that could not be asked; the same call may succeed later."""


class IncompatibleError(SchemaError):
    """Raised when publishing a schema that cannot read what was written with an earlier version of it."""
