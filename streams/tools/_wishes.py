"""What a model reads about tools, and what becomes of its wishes: it may ask for anything and gets what is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from streams.model.chat import ToolSpec
from streams.tools._call import arguments
from streams.tools.errors import InvalidArgumentsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.define.tools import Tool


def spec_of(tool: Tool[Any]) -> ToolSpec:
    """Return the tool's name, help and JSON schema of arguments, all made from its signature and docstring."""
    return ToolSpec(tool.name, tool.doc, tool.args_model.model_json_schema())


def granted(wish: Mapping[str, str], allowed: Iterable[Tool[Any]]) -> tuple[Tool[Any], Any]:
    """Return the tool that a wish (`name`, `arguments` as JSON text) means, and its arguments as JSON.

    Raises InvalidArgumentsError, whose message may be shown to the model, for a tool that is not in `allowed`, for text
    that is no JSON and for arguments that do not fit: nothing is called then.
    """
    by_name = {tool.name: tool for tool in allowed}
    tool = by_name.get(wish["name"])
    if tool is None:
        raise InvalidArgumentsError(
            f"There is no tool {wish['name']!r} here; there are: {', '.join(by_name) or 'none'}."
        )
    try:
        args = orjson.loads(wish["arguments"] or "{}")
    except orjson.JSONDecodeError as error:
        raise InvalidArgumentsError(f"{tool.name}: the arguments are no JSON ({error}).") from error
    arguments(tool, args)
    return tool, args
