"""`streams doctor`: asks every part that a pipeline needs whether it is well, and says what to do where it is not."""

from __future__ import annotations

from typing import Any

import typer

from streams.cli.io.options import OutputFormat, OutputOption


def add_to(streams: typer.Typer) -> None:
    """Add the command to the command line."""
    streams.command("doctor", rich_help_panel="Start")(examine)


def examine(output: OutputOption = OutputFormat.TEXT) -> None:
    """Check settings, state folder, what users wrote, broker, topics, schemas, registry, model and gateway."""
    from rich.markup import escape

    from streams.cli.checks import CHECKS, CheckResult
    from streams.cli.io.output import console, print_json

    findings: list[CheckResult] = []
    screen = console()
    for name, check in CHECKS.items():
        found = check()
        findings.append(found)
        if output is OutputFormat.TEXT:
            mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}[found.state]
            screen.print(f"{mark} [bold]{name:<9}[/] {escape(found.detail)}", markup=True)
    failed = [name for name, found in zip(CHECKS, findings, strict=True) if found.state == "fail"]
    if output is OutputFormat.JSON:
        rows: list[dict[str, Any]] = [
            {"check": name, **found._asdict()} for name, found in zip(CHECKS, findings, strict=True)
        ]
        print_json({"ok": not failed, "checks": rows})
    raise typer.Exit(1 if failed else 0)
