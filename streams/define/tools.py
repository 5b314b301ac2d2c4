"""The `@tool` decorator: a function that agents and models may call, described by its own signature."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

from pydantic import BaseModel, ConfigDict, create_model

from streams.define.limits import Rate
from streams.define.policies import Breaker, RetryPolicy
from streams.define.signatures import doc_of, parameters_of, resolve, where
from streams.errors import DefinitionError

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, eq=False)
class Tool(Generic[ResultT]):
    """A function with consequences outside, its limits, and a model of its arguments.

    `cache` and `timeout` are seconds (no `cache`: every call is made). `rate` and `breaker` hold over all workers.
    With `approval` a person has to agree before each call.
    """

    name: str
    fn: Callable[..., ResultT | Awaitable[ResultT]]
    doc: str
    args_model: type[BaseModel]
    returns: Any
    rate: Rate | None = None
    cache: float | None = None
    timeout: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: Breaker | None = None
    approval: bool = False
    concurrency: int | None = None
    version: int = 1

    def __call__(self, *args: Any, **kwargs: Any) -> ResultT | Awaitable[ResultT]:
        """Call the function itself, without limits, record or retry: for other tools and for tests."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"


@overload
def tool(fn: Callable[..., Awaitable[ResultT]], /) -> Tool[ResultT]: ...
@overload
def tool(fn: Callable[..., ResultT], /) -> Tool[ResultT]: ...
@overload
def tool(
    *,
    rate: str | Rate | None = ...,
    cache: float | None = ...,
    timeout: float = ...,
    retry: RetryPolicy | None = ...,
    breaker: Breaker | None = ...,
    approval: bool = ...,
    concurrency: int | None = ...,
    version: int = ...,
) -> _ToolMaker: ...
def tool(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a function; raise DefinitionError when an argument or the result is not annotated."""
    if fn is not None:
        return _make(fn, {})
    return lambda function: _make(function, options)


class _ToolMaker:
    """The type of `tool(...)`: what an async and what a plain function become."""

    @overload
    def __call__(self, fn: Callable[..., Awaitable[ResultT]], /) -> Tool[ResultT]: ...
    @overload
    def __call__(self, fn: Callable[..., ResultT], /) -> Tool[ResultT]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Any:
        return _make(fn, {})


def _make(fn: Callable[..., Any], options: dict[str, Any]) -> Tool[Any]:
    wanted = dict(options)
    wanted["rate"] = Rate.of(wanted.get("rate"))
    wanted["retry"] = wanted.get("retry") or RetryPolicy()
    if "return" not in fn.__annotations__:
        raise DefinitionError(f"{where(fn)}: annotate the result of the tool, its record is read back as that type")
    return Tool(
        name=fn.__name__,
        fn=fn,
        doc=doc_of(fn),
        args_model=_arguments(fn),
        returns=resolve(fn, fn.__annotations__["return"], "the result"),
        **wanted,
    )


def _arguments(fn: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in parameters_of(fn):
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise DefinitionError(f"{where(fn)}: a tool names its arguments; replace *{parameter.name}")
        kind = resolve(fn, parameter.annotation, f"the argument {parameter.name!r}")
        fields[parameter.name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
    title = "".join(part.title() for part in fn.__name__.split("_")) + "Arguments"
    return create_model(title, __config__=ConfigDict(extra="forbid"), __module__=fn.__module__, **fields)
