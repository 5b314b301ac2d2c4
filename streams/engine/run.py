"""`Run`: what an agent's function holds to do anything durable; every method makes one operation."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar, cast, overload

from schemas import Event
from streams.clock import from_ms
from streams.define.agents import Agent, Bound
from streams.define.canvas import Batch, Chain, Chord, Group, parse
from streams.define.policies import Reject, RetryPolicy
from streams.define.signatures import name_of, resolve, underlying
from streams.define.tools import Tool
from streams.engine.canvas import execute
from streams.engine.children import CallOp, StartOp
from streams.engine.driver import Driver, Op
from streams.engine.effects import EffectOp
from streams.engine.entry import APPROVAL
from streams.engine.gathers import GatherOp
from streams.engine.jsonable import args_to_json, checked_to_json, digest, to_json, unreadable, unrecordable
from streams.engine.marks import AskOp, EmitOp, ProgressOp, Stage, event_of, patched
from streams.engine.waits import SleepOp, WaitOp
from streams.errors import DefinitionError, StreamsError
from streams.model.converse import converse
from streams.model.reach import HOSTS, reaching

T = TypeVar("T")

current_key: ContextVar[str] = ContextVar("streams_idempotency_key")  # set around each attempt by who performs it

_CANVAS = (Bound, Chain, Group, Chord, Batch)


class Run:
    """One run of an agent. What is awaited on it is recorded; after a crash it is given back, not done again."""

    __slots__ = ("_agent", "_agents", "_driver", "_policy")

    def __init__(
        self, driver: Driver, agent: Agent[Any, Any], agents: Mapping[str, Agent[Any, Any]] | None = None
    ) -> None:
        self._driver = driver
        self._agents = agents or {}
        self._agent = agent.name
        self._policy = agent.retry

    @property
    def id(self) -> str:
        """The run's id."""
        return self._driver.journal.run_id

    @property
    def agent(self) -> str:
        """The name of the agent that runs."""
        return self._agent

    @property
    def parent(self) -> str | None:
        """The id of the run that called this one."""
        return self._driver.journal.view.meta.get("parent")

    @property
    def idempotency_key(self) -> str:
        """Inside a step or tool: a key that stays the same over all its attempts, to pass on to the outside."""
        key = current_key.get("")
        if not key:
            raise StreamsError(
                "run.idempotency_key exists inside a step or tool: read it in the function given to step"
            )
        return key

    # effects

    @overload
    def step(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **options: Any) -> Op[T]: ...
    @overload
    def step(self, fn: Callable[..., T], /, *args: Any, **options: Any) -> Op[T]: ...
    def step(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        pure: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> Op[Any]:
        """Call fn once and record its result; sync functions run in a thread.

        fn may be a function, a method, a partial (what it binds is not recorded) or an object with `__call__`.
        `timeout` is seconds for each attempt: an async fn then gets SoftTimeout at its await and has 10 s to save and
        clean up, or to return what it has. `pure=True` says that it has no effect outside, so that it need not wait
        for a commit. Raises StepFailed when its retries are used up, TimedOut if time was what it ran out of.
        """
        _check_function(fn)
        named = name or name_of(fn)
        given = args_to_json([args, kwargs]) if kwargs else args_to_json(args)
        returns = _returns(fn)
        reason = None if returns is None else unreadable(returns) or unrecordable(returns)
        if reason is not None:
            raise DefinitionError(f"the result of {named} cannot be given back after a crash: {reason}")
        return EffectOp(
            self._driver,
            "step",
            named,
            {"args": args, "kwargs": kwargs},
            digest=digest(named, given),
            show=given,
            returns=returns,
            retry=retry or self._policy,
            timeout=timeout,
            pure=pure,
            fn=fn,
        )

    def tool(
        self,
        tool: Tool[T],
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        approve: bool | None = None,
        **named: Any,
    ) -> Op[T]:
        """Call a tool with validated arguments under its own limits; raises StepFailed when its retries are used up.

        Arguments are given by name, or as a mapping: whoever chose what is in a mapping (a model, a request) reaches
        nothing but the tool's own arguments. `approve` says whether a person has to agree; by default the tool decides.
        """
        if not isinstance(tool, Tool):
            raise DefinitionError(f"{tool!r} is no tool: decorate it with @tool, or call it by run.step()")
        given = named if arguments is None else {**arguments, **named}
        if tool.approval if approve is None else approve:
            return cast("Op[T]", self._approved(tool, given, HOSTS.get()))
        return self._tool(tool, given)

    def _tool(self, tool: Tool[T], arguments: dict[str, Any]) -> Op[T]:
        checked = arguments_to_json(tool, arguments)
        return EffectOp(
            self._driver,
            "tool",
            tool.name,
            checked,
            digest=digest(tool.name, tool.version, checked),
            show=checked,
            returns=tool.returns,
            retry=tool.retry,
            timeout=tool.timeout,
            tool=tool,
        )

    async def _approved(self, tool: Tool[Any], arguments: dict[str, Any], hosts: frozenset[str] | None) -> Any:
        checked = arguments_to_json(tool, arguments)
        await self.approve(tool.name, checked)
        with reaching(hosts):
            call = self._tool(tool, arguments)
        return await call

    @overload
    def llm(self, prompt: Any, /, *args: Any, returns: type[T], **params: Any) -> Awaitable[T]: ...
    @overload
    def llm(self, prompt: Any, /, *args: Any, returns: None = ..., **params: Any) -> Awaitable[str]: ...
    def llm(
        self,
        prompt: Any,
        /,
        *args: Any,
        returns: Any = None,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        tools: Sequence[Tool[Any]] = (),
        rounds: int = 8,
        cache: float | None = None,
        **params: Any,
    ) -> Awaitable[Any]:
        """Ask the model once and record its answer, as text or as `returns`; never paid twice.

        `tools` are those that the model may call, in at most `rounds` calls, each an entry of its own. An answer that
        any run got to the same question within the last `cache` seconds is taken instead. `params` go to the model
        (model, temperature, …). Raises StepFailed when its retries are used up.
        """
        if tools:
            given = {**params, "retry": retry, "timeout": timeout, "cache": cache}
            return converse(self, prompt, *args, tools=tools, returns=returns or str, rounds=rounds, **given)
        text = prompt if isinstance(prompt, str) else str(prompt)
        data = {"prompt": text, "args": args_to_json(args), "params": args_to_json(params)}
        named = getattr(returns, "__name__", None) or "text"
        return EffectOp(
            self._driver,
            "llm",
            named,
            data if cache is None else {**data, "cache": cache},
            digest=digest(named, data),
            show=data,
            returns=returns or str,
            retry=retry or self._policy,
            timeout=timeout,
        )

    # other agents

    @overload
    def call(self, agent: Agent[Any, T], input: Any = ..., /, *, timeout: float | None = ...) -> Op[T]: ...
    @overload
    def call(self, agent: Bound[T], /, *, timeout: float | None = ...) -> Op[T]: ...
    @overload
    def call(
        self, agent: Chain | Group | Chord | Batch | str | dict[str, Any], input: Any = ..., /
    ) -> Awaitable[Any]: ...
    def call(
        self, agent: Any, input: Any = None, /, *, timeout: float | None = None, priority: str | None = None
    ) -> Awaitable[Any]:
        """Run another agent, or a canvas of them, on its own queue and wait for the result without holding memory.

        An agent may also be given by name, a canvas as the JSON that `streams.define.canvas.parse` reads. `timeout` is
        in seconds. Raises ChildFailed, ChildCancelled or TimedOut.
        """
        if isinstance(agent, str) and input is not None:
            agent = {"agent": agent, "input": input}
        if isinstance(agent, str | dict):
            agent = parse(agent, self._agents)
        if isinstance(agent, Agent):
            return self.call_agent(agent, input, timeout=timeout, priority=priority)
        if isinstance(agent, Bound):
            return cast("Awaitable[Any]", execute(self, agent, options={"timeout": timeout, "priority": priority}))
        return cast("Awaitable[Any]", execute(self, agent))

    def call_agent(
        self, agent: Agent[Any, T], input: Any, *, timeout: float | None = None, priority: str | None = None
    ) -> Op[T]:
        """Call one agent with an input that is checked here, at the border."""
        return CallOp(self._driver, agent, checked_input(agent, input), timeout=timeout, priority=priority)

    def start(
        self, agent: Any, input: Any = None, /, *, priority: str | None = None, delay: float | None = None
    ) -> Op[str]:
        """Start a run and do not wait for it; return its id. `delay` is seconds before it may begin."""
        if isinstance(agent, Bound):
            agent, input = agent.agent, agent.input
        if not isinstance(agent, Agent):
            raise DefinitionError(
                f"run.start starts one agent, not a {type(agent).__name__}: write `await run.call(…)` to run a canvas "
                "and wait for it, or start an agent whose function does that"
            )
        return StartOp(self._driver, agent, checked_input(agent, input), priority=priority, delay=delay)

    def gather(self, *work: Awaitable[T] | Bound[T], return_exceptions: bool = False) -> Op[list[T]]:
        """Do several things at once: operations, coroutines, bound agents; results in the order given.

        The first error is raised at once unless `return_exceptions`; the others go on meanwhile.
        """
        return cast("Op[list[T]]", self.gather_all(work, return_exceptions=return_exceptions))

    def gather_all(self, work: Sequence[Any], *, return_exceptions: bool = False) -> Op[list[Any]]:
        """Do as `gather` does, with a list."""
        return GatherOp(self._driver, [self._branch(one) for one in work], return_exceptions=return_exceptions)

    def _branch(self, one: Any) -> Any:
        if isinstance(one, _CANVAS):
            return execute(self, one)
        if isinstance(one, Op) or inspect.iscoroutine(one):
            return one
        raise TypeError(f"gather takes run operations, coroutines and bound agents, not {type(one).__name__}")

    # waiting

    def sleep(self, seconds: float, /) -> Op[None]:
        """Wait, for seconds or weeks; nothing is held in memory."""
        return SleepOp(self._driver, float(seconds))

    @overload
    def wait_for(
        self, event: type[T], /, match: Callable[[T], bool] | None = ..., *, timeout: float | None = ...
    ) -> Op[T]: ...
    @overload
    def wait_for(
        self, event: str, /, match: Callable[[Any], bool] | None = ..., *, timeout: float | None = ...
    ) -> Op[Any]: ...
    def wait_for(
        self, event: Any, /, match: Callable[[Any], bool] | None = None, *, timeout: float | None = None
    ) -> Op[Any]:
        """Wait for a signal that is this event (or has this name) and fits `match`; raises TimedOut after seconds."""
        if isinstance(event, str):
            return WaitOp(self._driver, event, None, match, timeout)
        name = getattr(event, "event_type", "") or event.__name__
        return WaitOp(self._driver, name, event, match, timeout)

    async def approve(self, what: str, parameters: Any = None, *, timeout: float | None = None) -> Any:
        """Wait until a person approves `what` with exactly these parameters; give their comment.

        The answer is the signal `approval` with `{"token", "approved", "comment"}`; the token is in the run's history.
        Raises Reject when it is refused and TimedOut after `timeout` seconds.
        """
        token = await self.ask(what, args_to_json(parameters))
        answer = await self.wait_for(
            APPROVAL, lambda data: isinstance(data, dict) and data.get("token") == token, timeout=timeout
        )
        if not answer.get("approved"):
            raise Reject(f"{what} was refused: {answer.get('comment') or 'without a comment'}")
        return answer.get("comment")

    def ask(self, what: str, parameters: Any = None, /) -> Op[str]:
        """Put a question for a person into the history; return the token that the answering signal has to carry."""
        return AskOp(self._driver, what, args_to_json(parameters))

    # saying

    def progress(self, message: str, percent: float | None = None, /) -> Op[None]:
        """Report how far the run is; percent is 0 to 100."""
        return ProgressOp(self._driver, message, None if percent is None else max(0, min(100, round(percent))))

    def emit(self, event: Event, /) -> Op[None]:
        """Publish an event on the bus, once, with this point of the run."""
        return EmitOp(self._driver, event_of(event))

    def stage(self, name: str, timeout: float | None = None) -> Stage:
        """Enter a stage: `async with run.stage("REASONING", timeout=minutes(5))`; SoftTimeout when it is over."""
        return Stage(self._driver, name, timeout)

    # without side effect and without entry

    def now(self) -> datetime:
        """Return the time of the last thing that happened to the run, the same in every replay."""
        return from_ms(self._driver.time_ms)

    def random(self) -> float:
        """Return a number from 0 to 1, the same in every replay."""
        return self._driver.random().random()

    def patched(self, name: str) -> bool:
        """Return whether to take changed code: True for runs that come here after the change, False for older ones."""
        return patched(self._driver, name)


def _check_function(fn: Any) -> None:
    """Raise DefinitionError, which names what to write instead, for what run.step cannot call."""
    if isinstance(fn, Tool):
        raise DefinitionError(f"run.step takes a function and {fn.name} is a tool: write run.tool({fn.name}, …)")
    if isinstance(fn, Agent):
        raise DefinitionError(f"run.step takes a function and {fn.name} is an agent: write run.call({fn.name}, …)")
    if inspect.iscoroutine(fn):
        fn.close()
        raise DefinitionError(
            f"run.step takes a function and its arguments, not a coroutine: write run.step({fn.__name__}, …)"
        )
    if not callable(fn):
        raise DefinitionError(f"run.step takes a function, not {type(fn).__name__}")


def checked_input(agent: Agent[Any, Any], value: Any) -> Any:
    """Return an agent's input as JSON; raise pydantic's ValidationError, naming the field, if it does not fit."""
    return checked_to_json(value, agent.input_type)


def arguments_to_json(tool: Tool[Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool's arguments as JSON; raise pydantic's ValidationError, naming the argument, if they do not fit."""
    checked = tool.args_model.model_validate(arguments)
    made: dict[str, Any] = to_json(checked, tool.args_model, by_alias=None)
    return made


@lru_cache(maxsize=4096)
def _returns_cached(fn: Callable[..., Any]) -> Any:
    inner = underlying(fn)
    annotation = getattr(inner, "__annotations__", {}).get("return")
    if annotation is None:
        return None
    try:
        return resolve(inner, annotation, "the result")
    except StreamsError:  # a name that is only known to the type checker: the record is then plain data
        return None


def _returns(fn: Callable[..., Any]) -> Any:
    try:
        return _returns_cached(fn)
    except TypeError:  # a callable that cannot be hashed
        return None
