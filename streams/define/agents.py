"""The `@agent` decorator: turns a durable async function into a value that discovery can collect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from streams.choices import Budget
from streams.define.limits import Rate
from streams.define.policies import RetryPolicy
from streams.define.signatures import doc_of, parameters_of, require_async, resolve, where
from streams.errors import DefinitionError

if TYPE_CHECKING:
    from streams.define.tools import Tool

InT = TypeVar("InT")
OutT = TypeVar("OutT")
Priority = Literal["high", "default", "low"]

PRIORITIES: tuple[Priority, ...] = ("high", "default", "low")


@dataclass(frozen=True, eq=False)
class Agent(Generic[InT, OutT]):
    """A durable function with its queue: what it takes and returns, and how many of it may run.

    `deadline` and `auto_resume_after` are seconds. `concurrency` and `rate` hold over all workers;
    `concurrency_key` names a field of the input whose equal values run one at a time, from start to end; the
    descendants of the run that holds a value pass, and null is no value. `budget` is what all runs of the agent may use
    on a day (UTC), `budget_per_key` what those with one value of the concurrency key may, `budget_per_run` what one run
    may use in its life.
    """

    name: str
    fn: Callable[..., Coroutine[Any, Any, OutT]]
    input_type: Any
    output_type: Any
    doc: str = ""
    pool: str = "default"
    concurrency: int | None = None
    rate: Rate | None = None
    deadline: float | None = None
    tools: tuple[Tool[Any], ...] = ()
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency_key: str | None = None
    priority: Priority = "default"
    auto_resume: int = 0
    auto_resume_after: float = 0.0
    version: int = 1
    budget: Budget | None = None
    budget_per_run: Budget | None = None
    budget_per_key: Budget | None = None
    takes_run: bool = True
    takes_input: bool = True

    def bind(self, input: InT) -> Bound[OutT]:
        """Return a call of this agent that is not yet made."""
        return Bound(cast("Agent[Any, OutT]", self), input)

    def start(self, input: Any, run: Any) -> Coroutine[Any, Any, OutT]:
        """Return the coroutine of one run, not yet started."""
        given = ([input] if self.takes_input else []) + ([run] if self.takes_run else [])
        return self.fn(*given)

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, OutT]:
        """Call the function itself, as a helper of another agent or in a test."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<agent {self.name}>"


@dataclass(frozen=True, slots=True)
class Bound(Generic[OutT]):
    """A call of an agent with its input, not yet made; `has_input` is false for a member that takes what came."""

    agent: Agent[Any, OutT]
    input: Any = None
    has_input: bool = True


@overload
def agent(fn: Callable[..., Coroutine[Any, Any, OutT]], /) -> Agent[Any, OutT]: ...
@overload
def agent(
    *,
    pool: str = ...,
    concurrency: int | None = ...,
    rate: str | Rate | None = ...,
    deadline: float | None = ...,
    tools: list[Any] | tuple[Any, ...] = ...,
    retry: RetryPolicy | None = ...,
    concurrency_key: str | None = ...,
    priority: Priority = ...,
    auto_resume: int = ...,
    after: float = ...,
    version: int = ...,
    budget: Budget | None = ...,
    budget_per_run: Budget | None = ...,
    budget_per_key: Budget | None = ...,
) -> Callable[[Callable[..., Coroutine[Any, Any, OutT]]], Agent[Any, OutT]]: ...
def agent(fn: Callable[..., Coroutine[Any, Any, Any]] | None = None, /, **options: Any) -> Any:
    """Make an agent of an `async def` that takes its input and, if it wants, its `Run`.

    Raise DefinitionError when the function is not async or lacks its annotations.
    """
    if fn is not None:
        return _make(fn, {})
    return lambda function: _make(function, options)


def _make(fn: Callable[..., Coroutine[Any, Any, Any]], options: dict[str, Any]) -> Agent[Any, Any]:
    require_async(fn, "an agent")
    wanted = dict(options)
    priority = wanted.get("priority", "default")
    if priority not in PRIORITIES:
        raise DefinitionError(f"{where(fn)}: priority is one of {', '.join(PRIORITIES)}, not {priority!r}")
    wanted["rate"] = Rate.of(wanted.get("rate"))
    wanted["tools"] = tuple(wanted.get("tools", ()))
    wanted["retry"] = wanted.get("retry") or RetryPolicy()
    wanted["auto_resume_after"] = wanted.pop("after", 0.0)
    takes_input, takes_run, input_type = _inputs(fn)
    _check_key(fn, wanted.get("concurrency_key"), input_type)
    if wanted.get("budget_per_key") is not None and wanted.get("concurrency_key") is None:
        raise DefinitionError(f"{where(fn)}: budget_per_key= needs a concurrency_key=, whose values it is for")
    return Agent(
        name=fn.__name__,
        fn=fn,
        input_type=input_type,
        output_type=resolve(fn, fn.__annotations__.get("return", inspect.Signature.empty), "the result"),
        doc=doc_of(fn),
        takes_run=takes_run,
        takes_input=takes_input,
        **wanted,
    )


def _check_key(fn: Callable[..., Any], key: str | None, input_type: Any) -> None:
    """Raise DefinitionError for a concurrency key that is no field of the input."""
    fields = getattr(input_type, "model_fields", None)
    if key is not None and (input_type is type(None) or (fields is not None and key not in fields)):
        raise DefinitionError(f"{where(fn)}: concurrency_key={key!r} must be a field of the agent's input")


def _inputs(fn: Callable[..., Any]) -> tuple[bool, bool, Any]:
    """Return whether fn takes an input, whether it takes a run, and the input's type."""
    parameters = parameters_of(fn)
    runs = [p for p in parameters if _is_run(p)]
    rest = [p for p in parameters if not _is_run(p)]
    if len(rest) > 1 or len(runs) > 1 or (runs and rest and parameters[0] is runs[0]):
        raise DefinitionError(f"{where(fn)}: an agent takes one input and then its run: `(task: Task, run: Run)`")
    if not rest:
        return False, bool(runs), type(None)
    return True, bool(runs), resolve(fn, rest[0].annotation, f"the input {rest[0].name!r}")


def _is_run(parameter: Any) -> bool:
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return text.rpartition(".")[2] == "Run" or (parameter.name == "run" and annotation is parameter.empty)
