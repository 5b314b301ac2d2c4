"""The `@tool` decorator: a function that agents and models may call, described by its own signature."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, overload

from pydantic import BaseModel, ConfigDict, PydanticUserError, create_model

from streams.define.limits import Rate, rate_text
from streams.define.options import check, decorator, duration, instance, no_generator, optional, pause, truth, whole
from streams.define.policies import POLICY, Breaker, RetryPolicy
from streams.define.signatures import doc_of, parameters_of, recordable, resolve, where
from streams.errors import DefinitionError

ResultT = TypeVar("ResultT")

RESERVED: Final = {
    "approve": "is what run.tool(…, approve=) takes",
    "model_config": "is reserved by pydantic",
}
"""Names that no argument of a tool has, with the reason."""


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
@decorator('@tool or @tool(rate="60/m")')
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    rate: str | Rate | None = None,
    cache: float | None = None,
    timeout: float = 60.0,
    retry: RetryPolicy | None = None,
    breaker: Breaker | None = None,
    approval: bool = False,
    concurrency: int | None = None,
    version: int = 1,
) -> Any:
    """Make a tool of a function, which agents and models may call.

    `rate` is how many calls may begin in a period, over all workers, as in "60/m". `cache` is for how many seconds an
    answer is given again to equal arguments; without it every call is made. `timeout` is how many seconds one attempt
    may take. `retry` is the policy of its calls. `breaker` is its circuit breaker, over all workers. `approval` makes
    each call wait until a person agrees. `concurrency` is how many calls are under way at once, over all workers.
    `version` is part of what recorded answers are found by: raise it when an equal call gives another answer.

    Raises DefinitionError, with file and line, when an argument or the result is not annotated or cannot be recorded,
    and for an option that is not possible.
    """

    def make(function: Callable[..., Any]) -> Tool[Any]:
        no_generator(function, "a tool")
        check(
            function,
            rate=(rate, rate_text),
            cache=(cache, optional(pause)),
            timeout=(timeout, duration),
            retry=(retry, optional(instance(RetryPolicy, POLICY))),
            breaker=(breaker, optional(instance(Breaker, "Breaker(failures=5, cooldown=60)"))),
            approval=(approval, truth),
            concurrency=(concurrency, optional(whole(1))),
            version=(version, whole(1)),
        )
        if "return" not in function.__annotations__:
            message = "annotate the result of the tool, its record is read back as that type"
            raise DefinitionError(f"{where(function)}: {message}")
        returns = resolve(function, function.__annotations__["return"], "the result")
        return Tool(
            name=function.__name__,
            fn=function,
            doc=doc_of(function),
            args_model=_arguments(function),
            returns=recordable(function, returns, "its result", returned=True),
            rate=Rate.of(rate),
            cache=cache,
            timeout=timeout,
            retry=retry or RetryPolicy(),
            breaker=breaker,
            approval=approval,
            concurrency=concurrency,
            version=version,
        )

    return make if fn is None else make(fn)


class _ToolMaker:
    """The type of `tool(...)`: what an async and what a plain function become."""

    @overload
    def __call__(self, fn: Callable[..., Awaitable[ResultT]], /) -> Tool[ResultT]: ...
    @overload
    def __call__(self, fn: Callable[..., ResultT], /) -> Tool[ResultT]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Any:
        return tool(fn)


def _arguments(fn: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in parameters_of(fn):
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise DefinitionError(f"{where(fn)}: arguments of a tool are given by name: remove the `/`")
        name = parameter.name
        reserved = "begins with an underscore" if name.startswith("_") else RESERVED.get(name)
        if reserved is not None:
            raise DefinitionError(f"{where(fn)}: the argument {name!r} {reserved}: call it something else")
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise DefinitionError(f"{where(fn)}: a tool names its arguments; replace *{parameter.name}")
        what = f"the argument {parameter.name!r}"
        kind = recordable(fn, resolve(fn, parameter.annotation, what), what, returned=True)
        fields[parameter.name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
    title = "".join(part.title() for part in fn.__name__.split("_")) + "Arguments"
    try:
        return create_model(title, __config__=ConfigDict(extra="forbid"), __module__=fn.__module__, **fields)
    except (NameError, PydanticUserError) as error:
        message = f"its arguments {', '.join(fields)} make no pydantic model: {str(error).splitlines()[0]}"
        raise DefinitionError(f"{where(fn)}: {message}") from error
