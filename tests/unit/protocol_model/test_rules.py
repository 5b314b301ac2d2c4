"""The protocol holds in every reachable state, and each rule is needed: without it the model is broken.

`pytest -s` shows the shortest way in which each missing rule breaks a promise. Left out of the model: several
partitions and runs, revocation with notice (a milder expulsion), and whatever needs a clock.
"""

from __future__ import annotations

import pytest

from tests.unit.protocol_model._explore import Scene, search
from tests.unit.protocol_model._rules import Rules
from tests.unit.protocol_model._state import Faults

ALL = Rules()

QUIET = Scene(Faults(), 2, 2)
REFUSALS = Scene(Faults(compactions=1, aborts=1, lost_answers=1), 2, 1)
MOVED = Scene(Faults(expulsions=1), 1, 1)
MOVED_STEPS = Scene(Faults(expulsions=1), 1, 2)
KILLED = Scene(Faults(crashes=1, compactions=1), 2, 0)
KILLED_STEP = Scene(Faults(crashes=1), 1, 1)
FORGOTTEN = Scene(Faults(crashes=1, lost_offsets=1), 2, 0)

BOTH_WAYS = Scene(Faults(expulsions=2), 1, 0)
KILLED_AND_MOVED = Scene(Faults(crashes=1, expulsions=1), 1, 0)

# A has committed and not yet written its store when it is expelled; B has the partition meanwhile.
STORE_IS_LATE = Scene(
    Faults(expulsions=2),
    2,
    0,
    (
        *("A takes submission 0 in", "A begins a transaction", "A's produce goes through"),
        *("A's offsets goes through", "A's commit goes through", "A's commit is written to journal"),
        *("A's commit is written to offsets", "A is expelled without notice", "the partition is given to B", "B polls"),
        *("B is told the offset", "B is told the journal's end", "B reads its journal", "B is restored"),
        *("B takes submission 1 in", "B begins a transaction", "B's produce goes through", "B's offsets goes through"),
        *("B's commit goes through", "B's commit is written to journal", "B's commit is written to offsets"),
    ),
)


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(QUIET, id="nothing happens"),
        pytest.param(REFUSALS, id="an abort, a lost answer, a compaction"),
        pytest.param(MOVED_STEPS, id="an expulsion"),
        pytest.param(KILLED, id="a kill, a compaction"),
        pytest.param(KILLED_STEP, id="a kill during a step"),
        pytest.param(FORGOTTEN, id="a kill, the offsets deleted"),
        pytest.param(BOTH_WAYS, id="two expulsions", marks=pytest.mark.faults_long),
        pytest.param(KILLED_AND_MOVED, id="a kill and an expulsion", marks=pytest.mark.faults_long),
        pytest.param(STORE_IS_LATE, id="a late store, an expulsion", marks=pytest.mark.faults_long),
    ],
)
def test_with_all_rules_every_state_keeps_every_promise(scene: Scene) -> None:
    found = search(ALL, scene)
    assert not found.broken, str(found)
    assert found.states > 400, "an empty search would pass"


NEEDED = {
    "members_are_checked": (MOVED, "the owner's store is not what was committed"),
    "producers_are_fenced": (KILLED_STEP, "an acknowledged run is never taken in"),
    "always_an_offset": (MOVED, "what is recorded is done again"),
    "entry_with_its_offset": (QUIET, "an acknowledged run is passed and not recorded"),
    "pair_is_one": (MOVED, "the owner's store is not what was committed"),
    "metadata_has_a_member": (MOVED, "the owner's store is not what was committed"),
    "timeout_is_no_answer": (REFUSALS, "submitted is recorded twice"),
    "aborted_goes_again": (REFUSALS, "the owner is at another offset than the log"),
    "dead_work_is_dropped": (MOVED, "an acknowledged run is passed and not recorded"),
    "dead_rows_are_dropped": (STORE_IS_LATE, "the owner's store is not what was committed"),
    "dead_rows_are_unseen": (MOVED, "an acknowledged run is passed and not recorded"),
    "offsets_are_stable": (MOVED, "the owner's store is not what was committed"),
    "offsets_come_first": (MOVED, "the owner's store is not what was committed"),
    "end_counts_the_open": (MOVED, "the owner's store is not what was committed"),
    "only_committed_is_read": (MOVED, "a store is ahead of the log: count"),
    "journal_knows_the_offset": (FORGOTTEN, "the owner is at another offset than the log"),
    "store_after_commit": (QUIET, "a store is ahead of the log: count"),
    "rows_with_their_mark": (KILLED_STEP, "the owner's store is not what was committed"),
    "known_runs_are_passed": (QUIET, "submitted is recorded twice"),
    "reads_see_the_uncommitted": (QUIET, "submitted is recorded twice"),
    "effects_after_commit": (MOVED_STEPS, "an effect was called with what the log never held"),
}


def test_every_rule_is_tried() -> None:
    assert set(NEEDED) == set(Rules._fields)


@pytest.mark.parametrize("rule", NEEDED)
def test_without_a_rule_a_promise_is_broken(rule: str) -> None:
    scene, promise = NEEDED[rule]
    found = search(ALL._replace(**{rule: False}), scene)
    print(f"without {rule}: {found}")
    assert found.broken == promise, str(found)
    assert found.trace
