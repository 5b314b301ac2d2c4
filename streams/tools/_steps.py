"""Calls the function of a step: an async one here, a plain one in a thread."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any

from streams.define.signatures import underlying
from streams.tools._soft_timeout import softly
from streams.tools._threads import in_thread
from streams.user_code import awaited

if TYPE_CHECKING:
    from streams.engine.decision import Perform


async def call_step(perform: Perform) -> Any:
    """Return what the function of a step returns, None for a step without one; raises what it raises."""
    fn, args, kwargs = perform.fn, perform.args.get("args", ()), perform.args.get("kwargs", {})
    if fn is None:
        return None
    if (type(fn) is FunctionType and fn.__code__.co_flags & inspect.CO_COROUTINE) or inspect.iscoroutinefunction(
        underlying(fn)
    ):
        return await awaited(softly(fn(*args, **kwargs), perform.timeout, perform.name))
    made = await in_thread(fn, *args, **kwargs)
    return await awaited(made) if inspect.isawaitable(made) else made
