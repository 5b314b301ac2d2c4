"""History after its retention on a real worker: rows and log keys go, the marker stays, the id starts nothing again."""

from __future__ import annotations

from schemas.signal import CancelRequested, ResumeRequested, SignalSent
from streams.engine.entry import EXPIRED
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import lines

DAY_S = 24 * 3600


async def test_an_expired_run_leaves_its_marker_and_never_runs_again(pipeline: Pipeline) -> None:
    pipeline.settings = pipeline.settings.changed(history_days=2 / DAY_S)
    worker = await pipeline.running("a")
    given = pipeline.task()
    run_id = await pipeline.submit("plain", given)
    await pipeline.ended([run_id])
    prefix = f"r/{run_id}/"

    async def values() -> list[tuple[str, bool]]:
        """Return the run's keys on the journal, record by record, and whether each has a value."""
        records = await pipeline.log(pipeline.names.journal("default")).all()
        found = [((record.key() or b"").decode("utf-8", "replace"), record.value() is not None) for record in records]
        return [(key.removeprefix(prefix), there) for key, there in found if key.startswith(prefix)]

    async def swept() -> bool:
        return [path for path, there in dict(await values()).items() if there] == [EXPIRED]

    await until(swept, what=worker.words)
    assert len({path for path, there in await values() if there}) > 2, "there was more than what is left"
    assert (await worker.owner.get("/owner/runs")).json()["runs"] == []
    assert (await worker.owner.get(f"/owner/tables/runs/{run_id}")).status_code == 404
    await pipeline.submit("plain", given, run_id)
    again = await pipeline.submit("plain", given)
    await pipeline.ended([again])
    assert len((await pipeline.endings([run_id]))[run_id]) == 1
    assert sum(line.endswith("begin") for line in lines(pipeline.effects_folder, "plain")) == 2
    await pipeline.submit("plain", pipeline.task(customer="another"), run_id)

    async def refused() -> bool:
        return [letter.run_id or letter.key for letter in await pipeline.letters()] != []

    await until(refused, what=worker.words)
    assert "RunConflictError" in str((await pipeline.letters())[0].error_type)


async def test_nothing_starts_an_expired_run_again(pipeline: Pipeline) -> None:
    """A cancel, a signal, a resume and a kill of its worker leave one ending, and the orders are dead letters."""
    pipeline.settings = pipeline.settings.changed(history_days=2 / DAY_S)
    worker = await pipeline.running("a")
    run_id = await pipeline.submit("plain", pipeline.task())
    await pipeline.ended([run_id])

    async def state() -> str:
        return str((await worker.owner.get(f"/owner/runs/{run_id}")).json()["status"])

    async def expired() -> bool:
        return await state() == "expired"

    await until(expired, what=worker.words)
    orders = [
        CancelRequested(run_id=run_id, request_id="c"),
        SignalSent(run_id=run_id, signal_id="s", name="approved"),
        ResumeRequested(run_id=run_id, request_id="r"),
    ]
    for order in orders:
        await pipeline.say(order)
    letters = await pipeline.letters_of(run_id.encode(), len(orders))
    assert {letter.error_type for letter in letters} == {"RunExpiredError"}
    worker.kill()
    worker = await pipeline.running("a")
    await pipeline.settled()
    assert await state() == "expired"
    assert (await worker.owner.get(f"/owner/runs/{run_id}/result")).json()["type"] == "run-expired"
    runs = await pipeline.log(pipeline.names.runs).all()
    assert [(record.value() is None) for record in runs if record.key() == run_id.encode()][-1], "its key is deleted"
    assert len((await pipeline.endings([run_id]))[run_id]) == 1
    assert sum(line.endswith("begin") for line in lines(pipeline.effects_folder, "plain")) == 1
