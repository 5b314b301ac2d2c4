"""Keeps a user's own schemas in the user's own package, so that records of earlier versions stay readable.

There is no index: the id of such a schema is made from its content.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import orjson
from pydantic import BaseModel

from schemas.avro.compat import backward_transitive
from schemas.avro.derive import avro_schema
from schemas.avro.published_schemas import own_files, read_own, subject_of
from schemas.avro.registry import content_id
from schemas.errors import IncompatibleError

FOLDER_NAME = "published"

_STYLE = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def folders(packages: Iterable[str]) -> list[Path]:
    """Return the folder for schemas of each package's top package, whether it exists yet or not."""
    found: dict[Path, None] = {}
    for package in packages:
        spec = importlib.util.find_spec(package.split(".", 1)[0])
        for location in (spec.submodule_search_locations or ()) if spec else ():
            found[Path(location) / FOLDER_NAME] = None
    return list(found)


def owned(models: Iterable[type[BaseModel]], packages: Iterable[str]) -> dict[Path, list[type[BaseModel]]]:
    """Return those models that the packages define, by the folder of each one's top package."""
    found: dict[Path, list[type[BaseModel]]] = {}
    tops = {package.split(".", 1)[0] for package in packages}
    for model in models:
        top = model.__module__.split(".", 1)[0]
        if top in tops:
            for folder in folders([top]):
                found.setdefault(folder, []).append(model)
    return found


def missing(models: Iterable[type[BaseModel]], folder: Path) -> list[str]:
    """Return what is wrong with a package's folder, as sentences: schemas that it lacks or that do not fit."""
    problems = []
    for model in models:
        try:
            lacks = keep([model], folder, dry_run=True)
        except IncompatibleError as error:
            problems.append(str(error))
        else:
            problems += [f"{subject_of(model)} is not in {folder}; run: streams schemas publish" for _ in lacks]
    return problems


def keep(models: Iterable[type[BaseModel]], folder: Path, *, dry_run: bool = False) -> list[Path]:
    """Write the schemas that the folder lacks and return their files; writes nothing if any is refused.

    Raises IncompatibleError for a schema that cannot read what an earlier version of it wrote.
    """
    stored = [read_own(file) for file in own_files(folder)]
    files: dict[Path, bytes] = {}
    for model in models:
        schema = avro_schema(model)
        earlier = [old for old in stored if old["name"] == schema["name"]]
        if schema in earlier:
            continue
        problems = backward_transitive(schema, [(f"version {content_id(old)}", old) for old in earlier])
        if problems:
            message = f"{subject_of(model)}: {'; '.join(problems)}"
            raise IncompatibleError(message)
        file = folder / f"{subject_of(model)}.{content_id(schema)}.avsc"
        files[file] = orjson.dumps(schema, option=_STYLE)
    for file, content in () if dry_run else files.items():
        folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")  # a worker that goes on may look into the folder at any time
        part.write_bytes(content)
        part.replace(file)
    return list(files)
