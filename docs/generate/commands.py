"""The command line, from the parser that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typer.main import get_command

from docs.generate.markdown import code, prose, table
from streams.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """# Command line

`streams COMMAND --help` prints the same text. Every command that reads takes `-o json`. Every command that changes
history takes `--dry-run`. Exit status: 0 success; 1 failure, with one line on standard error that says what to do
next; 2 wrong usage. `streams --debug COMMAND` adds the traceback.
"""
_PLAIN: Final = {"str": "text", "int": "integer", "int range": "integer", "float": "number", "float range": "number"}


def page() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *_commands(get_command(app), ["streams"])])


def _commands(command: Any, path: list[str]) -> Iterator[str]:
    inside = getattr(command, "commands", None)
    if inside is None:
        yield _command(command, path)
        return
    if len(path) > 1:
        yield f"## `{' '.join(path)}`\n\n{prose(command.help or '')}\n"
    for name, one in inside.items():
        yield from _commands(one, [*path, name])


def _command(command: Any, path: list[str]) -> str:
    level = "##" if len(path) == 2 else "###"
    shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    usage = " ".join([*path, "[OPTIONS]", *(_metavar(one) for one in arguments)])
    text = f"{level} `{' '.join(path)}`\n\n```text\n{usage}\n```\n\n{prose(command.help or '')}\n"
    if not shown:
        return text
    context = command.make_context(path[-1], [], resilient_parsing=True)
    rows = [(_names(one), _type(one, context), _default(one), one.help or "") for one in shown]
    return f"{text}\n{table(('parameter', 'type', 'default', 'meaning'), rows)}"


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    if argument.nargs != 1:
        name += "..."
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(parameter.metavar or parameter.name.upper())
    return ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))


def _type(parameter: Any, context: Any) -> str:
    repeated = ", repeatable" if parameter.multiple or parameter.nargs == -1 else ""
    flag = parameter.param_type_name == "option" and getattr(parameter, "is_flag", False)
    name = parameter.display_type(context).strip("<>")
    return ("flag" if flag else _PLAIN.get(name, name.replace("|", " | "))) + repeated


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    plain = isinstance(parameter.default, str | int | float) and not isinstance(parameter.default, bool)
    return code(parameter.default) if plain else ""
