"""Questions for ids that nobody has: whatever their number, a worker needs one client for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.rig.pipeline import Pipeline, Worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = 300
MOST_MORE = 12  # descriptors: one client, and connections for the questions themselves


def descriptors(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.process.pid}/fd").iterdir()))


async def test_unknown_ids_are_404_and_cost_no_client_each(shared: Pipeline, worker: Worker) -> None:
    assert (await worker.owner.get("/owner/runs/nobody")).status_code == 404
    before = descriptors(worker)
    for start in range(0, ASKED, 20):
        ids = range(start, start + 20)
        answers = await asyncio.gather(*(worker.owner.get(f"/owner/runs/nobody-{number}") for number in ids))
        assert {answer.status_code for answer in answers} == {404}, worker.words()
    assert descriptors(worker) <= before + 20 + MOST_MORE
    run_id = await shared.submit("work", shared.task())
    assert (await worker.owner.get(f"/owner/runs/{run_id}")).status_code == 200, "what was acknowledged is found"
