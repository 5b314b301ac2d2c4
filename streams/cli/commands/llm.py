"""`streams llm`: the local language models: bring one here, list them, try one."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.io.options import OutputFormat, OutputOption

app = typer.Typer(help="Local language models (GGUF files).", no_args_is_help=True)

SourceArgument = Annotated[
    str | None, typer.Argument(help="URL or path of a GGUF file; none: the small one that ships")
]
SumOption = Annotated[str | None, typer.Option("--sha256", help="refuse the file unless it has this checksum")]
ModelArgument = Annotated[str | None, typer.Argument(help="name from `llm list`, or a path; none: what `dev` uses")]


def add_to(streams: typer.Typer) -> None:
    """Add the group to the command line."""
    streams.add_typer(app, name="llm")


@app.command()
def pull(source: SourceArgument = None, sha256: SumOption = None) -> None:
    """Bring a model into the cache folder, whole and checked."""
    from streams.local import models
    from streams.local.gguf import install_model
    from streams.settings import load

    folder = models.folder_of(load().cache_dir)
    if source is None:
        path = install_model(folder)
        model = next(one for one in models.models(folder) if one.path == path)
        models.verify(model)
    else:
        model = models.pull(source, folder, sha256)
    print(f"{model.path} ({model.bytes / 1e6:.0f} MB, sha256 {model.sha256})")
    print(f"`streams dev` uses it with STREAMS_LLM_GGUF={model.name}; try it: streams llm test {model.name}")


@app.command("list")
def list_models(output: OutputOption = OutputFormat.TEXT) -> None:
    """List the models in the cache folder, and which of them `dev` uses."""
    from streams.cli.io.output import print_rows
    from streams.local import models
    from streams.local.gguf import FILE
    from streams.settings import load

    settings = load()
    folder = models.folder_of(settings.cache_dir)
    used = models.find(settings.llm_gguf or FILE, folder)
    elsewhere = settings.llm_base_url is not None or settings.llm_api_key is not None
    rows = [
        {
            "name": model.name,
            "bytes": model.bytes,
            "sha256": model.sha256,
            "used": not elsewhere and model.path == used,
            "path": str(model.path),
        }
        for model in models.models(folder)
    ]
    empty = f"There is no model in {folder}: `streams llm pull` brings the small one that ships."
    print_rows(rows, ("name", "bytes", "sha256", "used"), output, empty=empty)


@app.command("test")
def try_model(model: ModelArgument = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Ask a model for a text and for JSON of a schema; print its answer, and tokens a second."""
    from streams.cli.io.output import print_record
    from streams.local.llm import model_file
    from streams.local.trial import serving, trial
    from streams.model.model_from_settings import OPENAI_MODEL, OPENAI_URL
    from streams.settings import load

    settings = load()
    if model is None and (settings.llm_base_url is not None or settings.llm_api_key is not None):
        key = None if settings.llm_api_key is None else settings.llm_api_key.get_secret_value()
        found = trial(settings.llm_base_url or OPENAI_URL, settings.llm_model or OPENAI_MODEL, key)
    else:
        from pathlib import Path

        file = model_file(settings.llm_gguf if model is None else Path(model), settings.cache_dir)
        with serving(file) as url:
            found = trial(url, file.stem)
    record = {
        **found._asdict(),
        "seconds": round(found.seconds, 2),
        "schema_seconds": round(found.schema_seconds, 2),
        "tokens_per_second": round(found.tokens_per_second, 1),
        "schema": "kept",
    }
    print_record(record, output)
