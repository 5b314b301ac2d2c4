"""The committed folder of schemas: an index of stable ids and one file for each version, checked and extended here."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from schemas.avro.compat import backward_transitive
from schemas.avro.derive import avro_schema
from schemas.errors import IncompatibleError, SchemaError
from schemas.event import Event

FOLDER = Path(__file__).parent.parent / "published"
INDEX = "index.json"

_STYLE = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Published:
    """One version of one record's schema; ``subject`` is the event type or the record's name."""

    id: int
    subject: str
    version: int
    schema: dict[str, Any]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.subject}.v{self.version}.avsc"


def subject_of(model: type[BaseModel]) -> str:
    """Return what a model's schemas are filed under: its event type, else its name in snake case."""
    if issubclass(model, Event) and model.event_type:
        return model.event_type
    return _CAPITALS.sub("_", model.__name__).lower()


def load(folder: Path = FOLDER) -> list[Published]:
    """Return all published versions in order of their ids; raises SchemaError for a missing or damaged file."""
    index = folder / INDEX
    if not index.exists():
        return []
    entries = [
        Published(row["id"], row["subject"], row["version"], _read(folder / row["file"]))
        for row in _read(index)["schemas"]
    ]
    return sorted(entries, key=lambda entry: entry.id)


def own_files(folder: Path) -> list[Path]:
    """Return the files of a folder without index: a user's schemas, whose ids come from their content."""
    return sorted(folder.glob("*.avsc"))


def read_own(file: Path) -> dict[str, Any]:
    """Return the schema of such a file; raises SchemaError for a damaged one."""
    schema: dict[str, Any] = _read(file)
    return schema


def additions(entries: Sequence[Published], models: Iterable[type[BaseModel]]) -> list[Published]:
    """Return the versions to be published so that every model's schema is; none if all are.

    Ids go on from the highest. Raises IncompatibleError for a schema that cannot read all of its earlier versions.
    """
    last_id = max((entry.id for entry in entries), default=0)
    found: list[Published] = []
    for model in sorted(models, key=subject_of):
        subject, schema = subject_of(model), avro_schema(model)
        earlier = [entry for entry in entries if entry.subject == subject]
        if any(entry.schema == schema for entry in earlier):
            continue
        problems = backward_transitive(schema, [(entry.file, entry.schema) for entry in earlier])
        if problems:
            message = f"{subject}: {'; '.join(problems)}"
            raise IncompatibleError(message)
        last_id += 1
        found.append(Published(last_id, subject, len(earlier) + 1, schema))
    return found


def check(models: Iterable[type[BaseModel]], folder: Path = FOLDER) -> list[str]:
    """Return what is wrong with a published folder, as sentences: unpublished or incompatible schemas, stray files."""
    models = list(models)
    entries = load(folder)
    subjects = {subject_of(model) for model in models}
    problems = [f"{entry.file} belongs to no class" for entry in entries if entry.subject not in subjects]
    files = {entry.file for entry in entries}
    problems += [f"{path.name} is not in {INDEX}" for path in sorted(folder.glob("*.avsc")) if path.name not in files]
    for model in models:
        try:
            missing = additions(entries, [model])
        except IncompatibleError as error:
            problems.append(str(error))
        else:
            problems += [f"{entry.subject} is not published; run: streams schemas publish" for entry in missing]
    return problems


def publish(models: Iterable[type[BaseModel]], folder: Path = FOLDER, *, dry_run: bool = False) -> list[Path]:
    """Write what is missing and return the new files; writes nothing if any schema is refused.

    Raises IncompatibleError.
    """
    entries = load(folder)
    added = additions(entries, models)
    if added and not dry_run:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in added:
            (folder / entry.file).write_bytes(orjson.dumps(entry.schema, option=_STYLE))
        (folder / INDEX).write_bytes(
            orjson.dumps({"schemas": [_row(entry) for entry in [*entries, *added]]}, option=_STYLE)
        )
    return [folder / entry.file for entry in added]


def _row(entry: Published) -> dict[str, Any]:
    return {"id": entry.id, "subject": entry.subject, "version": entry.version, "file": entry.file}


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read ({error}); restore it from version control"
        raise SchemaError(message) from error
