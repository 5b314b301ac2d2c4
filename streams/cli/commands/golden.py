"""`streams golden add`: writes finished runs to files that pytest runs again without a broker, model or network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from streams.testing.golden_file import GoldenRun

FOLDER: Final = Path("tests/golden")

app = typer.Typer(help="Golden runs: runs of the log as tests of the code.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Add the group to the command line."""
    root.add_typer(app, name="golden", rich_help_panel="History")


@app.callback()
def group() -> None:
    """Keep runs of the log as tests of the code."""


@app.command("add")
def add_runs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="ids of runs that have ended")],
    folder: Annotated[Path, typer.Option("--dir", help="folder of the files (default: tests/golden)")] = FOLDER,
) -> None:
    """Write each run with its calls to a file NAME.golden.json, which `pytest` collects and runs."""
    for golden in read_runs(list(dict.fromkeys(runs))):
        path = folder / golden.file_name
        golden.write(path)
        steps = sum(len(entries) for entries in golden.journals.values())
        print(f"{path}: {golden.outcome()['status']}, {steps} entries, {len(golden.calls)} model calls")


def read_runs(run_ids: list[str]) -> list[GoldenRun]:
    """Return the golden run of each; nothing is written if one of them cannot be read."""
    from streams.cli.calls import whole
    from streams.cli.log import open_log
    from streams.cli.pipeline import gateway
    from streams.cli.positions import moment
    from streams.contract.runs import RunState
    from streams.replay.log import ReplayLog
    from streams.testing.golden_file import GoldenRun, require_finished

    since_ms: dict[str, int] = {}
    with gateway() as server:
        for run in run_ids:
            state = server.read(RunState, f"/runs/{run}")
            require_finished(run, state.status, state.forked_from)
            since_ms[run] = int(moment(state.created_at).timestamp() * 1000)
    here = open_log()
    log = ReplayLog(here.kafka, here.codec, here.names, here.catalog)
    earliest = min(since_ms.values())
    families = {run: log.runs([run], since) for run, since in since_ms.items()}
    wanted = {run for family in families.values() for run in family}
    made: dict[str, list[dict[str, Any]]] = {run: [] for run in wanted}
    for call in log.calls(earliest):
        if call.get("run_id") in made:
            made[call["run_id"]].append(call)
    calls = [call for listed in made.values() for call in whole(listed)]  # with requests as they were sent
    return [
        GoldenRun.of(run, {name: observed.entries for name, observed in family.items()}, calls)
        for run, family in families.items()
    ]
