"""Which runs of a reaction are taken in where they are made, and what becomes of those that are odd."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas.run import RunSubmitted
from streams.errors import StreamsError
from streams.runtime.assignment import PartitionAssignment
from streams.runtime.commit_unit import CommitUnit
from streams.worker.runs.local_intake import LocalIntake
from tests.unit.runtime._fakes import JOURNAL, owned_assignment
from topics.partition import partition_of

PARTITIONS = 4


class Scene:
    """A worker that owns all partitions but the last."""

    def __init__(self, folder: Path) -> None:
        self.assignments = {number: owned_assignment(folder, number) for number in range(PARTITIONS - 1)}
        self.partitions = PARTITIONS
        self.added: list[CommitUnit] = []
        self.renewed: list[PartitionAssignment] = []
        self.committer = SimpleNamespace(add=self.added.append)
        self.taken: list[str] = []
        self.base = CommitUnit(self.assignments[0])
        self.take = LocalIntake(cast("Any", self), {"triage": cast("Any", self)})

    def renew(self, owned: PartitionAssignment) -> None:
        self.renewed.append(owned)

    def take_in_locally(self, unit: CommitUnit, event: RunSubmitted) -> None:
        """Stand for the agent's intake."""
        self.taken.append(event.run_id)
        if event.input == "known":
            return
        if event.input == "wrong":
            raise StreamsError("no such input")
        unit.put(unit.assignment.stores[JOURNAL], event.run_id.encode(), b"submitted")
        if event.input == "wrong later":
            raise StreamsError("its first step is too large")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def run_in(partition: int, input: str = "", agent: str = "triage") -> RunSubmitted:
    run_id = next(f"s-{n}" for n in range(1000) if partition_of(f"s-{n}".encode(), PARTITIONS) == partition)
    return RunSubmitted(run_id=run_id, agent=agent, input=input)


def test_a_run_of_a_partition_that_is_here_is_a_unit_of_that_partition_behind_the_reactions(scene: Scene) -> None:
    scene.take(scene.base, [run_in(1), run_in(2)])
    assert [(unit.assignment.partition, unit.behind) for unit in scene.added] == [(1, scene.base), (2, scene.base)]


def test_one_that_lives_elsewhere_or_is_not_ready_or_of_another_pool_comes_by_its_queue(scene: Scene) -> None:
    scene.assignments[1].ready = False
    scene.assignments[2].kill()
    scene.take(scene.base, [run_in(1), run_in(2), run_in(3), run_in(0, agent="scraper")])
    assert (scene.taken, scene.added) == ([], [])


def test_one_that_is_known_or_refused_leaves_nothing(scene: Scene) -> None:
    scene.take(scene.base, [run_in(1, "known"), run_in(2, "wrong")])
    assert (len(scene.taken), scene.added, scene.renewed) == (2, [], [])


def test_nothing_stands_behind_what_deals_with_its_own_refusal(scene: Scene) -> None:
    scene.base.on_refuse = lambda _error: None
    scene.take(scene.base, [run_in(0), run_in(1)])
    assert (scene.taken, scene.added) == ([], [])


def test_one_that_fails_half_way_takes_its_slice_with_it(scene: Scene) -> None:
    scene.take(scene.base, [run_in(1, "wrong later")])
    assert (scene.added, scene.renewed) == ([], [scene.assignments[1]])
