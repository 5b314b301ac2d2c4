"""Human approval, bound to the run, the place in it and the exact parameters, so that one yes allows one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.define.policies import Reject

if TYPE_CHECKING:
    from streams.engine.run import Run

SIGNAL = "approval"


async def approve(run: Run, what: str, parameters: Any, timeout: float | None) -> Any:
    """Ask for an approval and wait for its answer; return the comment, raise Reject or TimedOut."""
    token = await run.ask(what, parameters)
    answer = await run.wait_for(
        SIGNAL, lambda data: isinstance(data, dict) and data.get("token") == token, timeout=timeout
    )
    if not answer.get("approved"):
        raise Reject(f"{what} was refused: {answer.get('comment') or 'without a comment'}")
    return answer.get("comment")
