"""`streams schemas …`: the schemas of the events, and whether they are still compatible."""

from __future__ import annotations

from typing import Any

import typer

from streams.cli.io.options import DryRunOption, OutputFormat, OutputOption

app = typer.Typer(help="Schemas: list, publish, check.", no_args_is_help=True)


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="schemas")


@app.command("list")
def list_schemas(output: OutputOption = OutputFormat.TEXT) -> None:
    """List published schemas with their ids, and events of your own packages."""
    from schemas.avro.published_schemas import load
    from schemas.avro.registry import content_id
    from streams.cli.io.output import print_rows

    entries = load()
    rows: list[dict[str, Any]] = [
        {"id": entry.id, "subject": entry.subject, "version": entry.version, "file": entry.file} for entry in entries
    ]
    known = {entry.subject for entry in entries}
    for subject, schema in _own(known).items():
        rows.append({"id": content_id(schema), "subject": subject, "version": None, "file": None})
    print_rows(rows, ("id", "subject", "version", "file"), output, empty="No schemas.")


@app.command("publish")
def publish_schemas(*, dry_run: DryRunOption = False) -> None:
    """Write what is new into `schemas/published/` and, of your own, into the folder `published` of your package.

    Where STREAMS_SCHEMA_REGISTRY_URL is set, all are registered there instead.
    """
    from schemas.avro.own import keep
    from schemas.avro.published_schemas import publish

    settings, models = _models()
    own = _owned(settings)
    if settings.schema_registry_url is not None:
        _register(settings, [*models, *(model for some in own.values() for model in some)], dry_run=dry_run)
        return
    files = publish(models, dry_run=dry_run)
    for folder, some in own.items():
        files += keep(some, folder, dry_run=dry_run)
    verb = "Would write" if dry_run else "Wrote"
    for file in files:
        print(f"{verb} {file.name}")
    print(f"{verb} {len(files)} schemas.")


@app.command("check")
def check_schemas(output: OutputOption = OutputFormat.TEXT) -> None:
    """Check that every schema is published and reads all that earlier versions wrote; exit 1 if not."""
    from schemas.avro.own import missing
    from schemas.avro.published_schemas import check
    from streams.cli.io.output import print_json

    settings, models = _models()
    problems = check(models)
    if settings.schema_registry_url is None:
        problems += [found for folder, some in _owned(settings).items() for found in missing(some, folder)]
    if output is OutputFormat.JSON:
        print_json({"ok": not problems, "problems": problems})
    else:
        print("\n".join(problems) or "All schemas are published and backward compatible.")
    raise typer.Exit(1 if problems else 0)


def _models() -> tuple[Any, list[Any]]:
    """Return the settings and the models that this repository publishes."""
    from schemas.catalogue import PLAIN_RECORDS, events
    from streams.cli.pipeline import settings_here

    return settings_here(), [*events().values(), *PLAIN_RECORDS]


def _owned(settings: Any) -> dict[Any, list[Any]]:
    """Return the events and rows of the user's packages by the folder that keeps their schemas."""
    from schemas.avro.own import owned
    from streams.app import discover, is_ours
    from streams.query.codec import records_of

    return owned(records_of(discover(settings.apps)), [name for name in settings.apps if not is_ours(name)])


def _own(known: set[str]) -> dict[str, Any]:
    """Return subject and schema of the events in the user's packages."""
    from schemas.avro.derive import avro_schema
    from streams.app import discover
    from streams.cli.pipeline import settings_here

    found = discover(settings_here().apps).events
    return {name: avro_schema(model) for name, model in sorted(found.items()) if name not in known}


def _register(settings: Any, models: list[Any], *, dry_run: bool) -> None:
    from schemas.avro.confluent import ConfluentRegistry

    if not dry_run:
        user, password = settings.schema_registry_username, settings.schema_registry_password
        auth = (user, password.get_secret_value()) if user and password else None
        registry = ConfluentRegistry(settings.schema_registry_url, auth)
        for model in models:
            registry.id_of(model)
    print(f"{'Would register' if dry_run else 'Registered'} {len(models)} schemas at {settings.schema_registry_url}.")
