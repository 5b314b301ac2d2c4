"""The `@agent` decorator: turns a durable async function into a value that discovery can collect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from streams.choices import Budget
from streams.define.limits import Rate, rate_text
from streams.define.options import check, decorator, duration, instance, one_of, optional, pause, pool_name, text, whole
from streams.define.policies import POLICY, RetryPolicy
from streams.define.signatures import doc_of, parameters_of, recordable, require_async, resolve, where
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
@decorator('@agent or @agent(pool="heavy")')
def agent(  # noqa: PLR0913  every option of an agent, for `help` and editors
    fn: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    /,
    *,
    pool: str = "default",
    concurrency: int | None = None,
    rate: str | Rate | None = None,
    deadline: float | None = None,
    tools: Sequence[Tool[Any]] = (),
    retry: RetryPolicy | None = None,
    concurrency_key: str | None = None,
    priority: Priority = "default",
    auto_resume: int = 0,
    after: float = 0.0,
    version: int = 1,
    budget: Budget | None = None,
    budget_per_run: Budget | None = None,
    budget_per_key: Budget | None = None,
) -> Any:
    """Make an agent of an `async def` that takes its input and, if it wants, its `Run`.

    `pool` names the workers that run it. `concurrency` is how many of its runs execute at once, over all workers.
    `rate` is how many of its runs may begin in a period, over all workers, as in "60/m". `deadline` is how many
    seconds a run may take. `tools` are tools that it uses: they are found with it, and `/agents` lists them. `retry`
    is the policy of its steps and model calls. `concurrency_key` names a field of the input: runs with an equal value
    execute one at a time, from start to end, over all workers; None is no value. `priority` is the priority of runs
    that are submitted without one. `auto_resume` is how many times a failed run is resumed by itself. `after` is how
    many seconds after the failure. `version` is the version of the code: a run that a higher version has worked on
    waits while its worker has a lower one. `budget` is what all its runs may use on a day (UTC). `budget_per_run` is
    what one run may use in its life, with the runs that it calls. `budget_per_key` is what the runs with one value of
    `concurrency_key` may use on a day.

    Raises DefinitionError, with file and line, when the function is not async or lacks its annotations, and for an
    option that is not possible.
    """

    def make(function: Callable[..., Coroutine[Any, Any, Any]]) -> Agent[Any, Any]:
        require_async(function, "an agent")
        check(
            function,
            pool=(pool, pool_name),
            concurrency=(concurrency, optional(whole(1))),
            rate=(rate, rate_text),
            deadline=(deadline, optional(duration)),
            tools=(tools, _tools),
            retry=(retry, optional(instance(RetryPolicy, POLICY))),
            concurrency_key=(concurrency_key, optional(text)),
            priority=(priority, one_of(*PRIORITIES)),
            auto_resume=(auto_resume, whole(0)),
            after=(after, pause),
            version=(version, whole(1)),
            budget=(budget, _budget),
            budget_per_run=(budget_per_run, _budget),
            budget_per_key=(budget_per_key, _budget),
        )
        takes_input, takes_run, input_type = _inputs(function)
        _check_key(function, concurrency_key, input_type)
        if budget_per_key is not None and concurrency_key is None:
            raise DefinitionError(f"{where(function)}: budget_per_key= needs a concurrency_key=")
        result = function.__annotations__.get("return", inspect.Signature.empty)
        return Agent(
            name=function.__name__,
            fn=function,
            input_type=recordable(function, input_type, "its input"),
            output_type=recordable(function, resolve(function, result, "the result"), "its result", returned=True),
            doc=doc_of(function),
            pool=pool,
            concurrency=concurrency,
            rate=Rate.of(rate),
            deadline=deadline,
            tools=tuple(tools),
            retry=retry or RetryPolicy(),
            concurrency_key=concurrency_key,
            priority=priority,
            auto_resume=auto_resume,
            auto_resume_after=after,
            version=version,
            budget=budget,
            budget_per_run=budget_per_run,
            budget_per_key=budget_per_key,
            takes_run=takes_run,
            takes_input=takes_input,
        )

    return make if fn is None else make(fn)


_budget = optional(instance(Budget, "Budget(usd=5)"))


def _tools(value: Any) -> str | None:
    sound = isinstance(value, list | tuple) and all(hasattr(one, "args_model") for one in value)
    return None if sound else "a list of functions that are decorated with @tool"


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
