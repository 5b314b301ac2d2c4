"""How a run ends: exactly one entry for each ending number, and the records that notify others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from schemas.dead import DeadLettered, fingerprint_of
from schemas.run import RunCancelled, RunFailed, RunSucceeded
from schemas.schedule import ScheduleRunEnded
from schemas.signal import ChildEnded
from streams.engine.children import CallOp
from streams.engine.decision import Output, Timer
from streams.engine.effects import EffectOp
from streams.engine.entry import END
from streams.engine.jsonable import checked_to_json
from streams.error_text import error_message, error_traceback, error_type
from streams.errors import SoftTimeout, StepFailed

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.engine.driver import Driver
    from streams.engine.journal import Journal

Outcome = Literal["succeeded", "failed", "cancelled"]


def end_run(
    journal: Journal,
    driver: Driver,
    agent: Agent[Any, Any],
    outcome: Outcome,
    *,
    result: Any = None,
    error: dict[str, Any] | None = None,
    resumes: bool = True,
) -> None:
    """Append the end and its outputs to this turn's unit, and stop what still runs.

    Without `resumes` a failure waits for somebody, also that of an agent with `auto_resume`.
    """
    view = journal.view
    number = view.ended + 1
    resumes_itself = resumes and outcome == "failed" and view.resumes < agent.auto_resume
    due = journal.now_ms + int(agent.auto_resume_after * 1000) if resumes_itself else None
    stage = _stage(journal, error)
    journal.append(
        f"{END}{number}",
        "end",
        outcome,
        status="completed" if outcome == "succeeded" else outcome,
        stage=stage,
        attempt=number,
        output=result,
        error=error,
        due_ms=due,
    )
    outputs = journal.decision.outputs
    outputs.append(_record(journal, outcome, number, result, error, stage))
    if due is not None:
        journal.decision.timers.append(Timer(f"{END}{number}", due))
    elif view.meta.get("parent_path") is not None:
        outputs.append(_to_parent(journal, outcome, number, result, error))
    elif outcome == "failed":
        outputs.append(_dead_letter(journal, agent, number, error or {}))
    if due is None and view.meta.get("schedule") is not None:
        outputs.append(_to_schedule(journal, outcome, number))
    _stop(journal, driver, outcome)
    journal.decision.ended = outcome


def result_json(agent: Agent[Any, Any], value: Any) -> Any:
    """Return a function's result as JSON; raise pydantic's ValidationError if it is not of the declared type."""
    return checked_to_json(value, agent.output_type)


def describe(error: BaseException) -> dict[str, Any]:
    """Return the error that left the function as it is recorded; `path` is the step whose error escaped."""
    described: dict[str, Any] = {"type": error_type(error), "message": error_message(error)}
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, StepFailed | SoftTimeout) and cause.path:
            described["path"] = cause.path
            described["step"] = getattr(cause, "name", "")
            if isinstance(cause, StepFailed) and cause.type:
                described["cause"] = cause.type
            break
        cause = cause.__cause__ or cause.__context__
    described["traceback"] = error_traceback(error, frames=8, chars=4_000)
    return described


def _stage(journal: Journal, error: dict[str, Any] | None) -> str | None:
    path = (error or {}).get("path")
    if path:
        for entry in reversed(journal.entries):
            if entry.path == path:
                return entry.name if entry.kind == "stage" else entry.stage
    return journal.view.stage


def _record(
    journal: Journal, outcome: Outcome, number: int, result: Any, error: dict[str, Any] | None, stage: str | None
) -> Output:
    run_id, view = journal.run_id, journal.view
    parent, usage = view.meta.get("parent"), view.totals()
    event: Any
    if outcome == "succeeded":
        event = RunSucceeded(
            run_id=run_id, agent=journal.agent, parent=parent, ending=number, result=result, usage=usage
        )
    elif outcome == "failed":
        event = RunFailed(
            run_id=run_id,
            agent=journal.agent,
            parent=parent,
            ending=number,
            error=error,
            failed_path=(error or {}).get("path"),
            stage=stage,
            usage=usage,
        )
    else:
        event = RunCancelled(
            run_id=run_id,
            agent=journal.agent,
            parent=parent,
            ending=number,
            reason=(error or {}).get("reason"),
            usage=usage,
        )
    return Output("runs", event, f"{run_id}/{outcome}/{number}", run_id)


def _to_parent(journal: Journal, outcome: Outcome, number: int, result: Any, error: dict[str, Any] | None) -> Output:
    meta = journal.view.meta
    event = ChildEnded(
        run_id=meta["parent"],
        path=meta["parent_path"],
        child_id=journal.run_id,
        ending=number,
        status=outcome,
        result=result,
        error=None if error is None else {name: value for name, value in error.items() if name != "traceback"},
        usage=journal.view.totals(),
    )
    return Output("signals", event, f"{journal.run_id}/ended/{number}", event.run_id, None, meta.get("parent_pool"))


def _to_schedule(journal: Journal, outcome: Outcome, number: int) -> Output:
    """Notify the schedule, which may not let two of its runs overlap; schedules live in the default pool."""
    name = str(journal.view.meta["schedule"])
    event = ScheduleRunEnded(schedule=name, run_id=journal.run_id, ending=number, status=outcome)
    return Output("signals", event, f"{journal.run_id}/ended/{number}", name, journal.agent, "default")


def _dead_letter(journal: Journal, agent: Agent[Any, Any], number: int, error: dict[str, Any]) -> Output:
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    place = f"{agent.name}/{error.get('step', '')}/{kind}"
    dead_id = f"{journal.run_id}/failed/{number}"
    event = DeadLettered(
        dead_id=dead_id,
        source_topic=f"agents.{agent.name}",
        source_partition=-1,
        source_offset=-1,
        key=journal.run_id.encode(),
        consumer=agent.name,
        error=message,
        error_type=kind,
        traceback=str(error.get("traceback", "")),
        attempts=number,
        fingerprint=fingerprint_of(place),
        run_id=journal.run_id,
        first_ms=journal.now_ms,
    )
    return Output("dead-letters", event, dead_id, dead_id)


def _stop(journal: Journal, driver: Driver, outcome: Outcome) -> None:
    """Stop effects; children of a failed run go on, because the run can be resumed and then finds them."""
    for op in driver.waiting.values():
        if isinstance(op, EffectOp) and op.performing:
            journal.decision.cancel.append(op.path)
        elif isinstance(op, CallOp) and outcome != "failed":
            op.release()
    driver.close()
    journal.decision.perform.clear()
