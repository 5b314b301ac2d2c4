"""The home of rates: rows before answers, idempotent requests, and what a new home knows."""

from __future__ import annotations

from typing import Any, cast

import pytest

from streams import clock
from streams.limits import limit_sweep
from streams.limits.rate_limit_home import RateLimitHome
from streams.limits.shared_answers import listed_key
from streams.runtime.errors import DeadAssignmentError
from tests.unit.limits.fakes import Committer, Owned


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass but what a test lets pass: what is told depends on it to the tenth of a second."""
    monkeypatch.setattr(clock, "monotonic", lambda: 100.0)


def ask(*ids: str, limit: str = "tool:x", count: int = 3, per: float = 60.0) -> dict[str, Any]:
    return {"limit": limit, "count": count, "per": per, "ids": list(ids), "wanted": len(ids)}


def home(owned: Owned, committer: Committer | None = None) -> RateLimitHome:
    return RateLimitHome(cast("Any", owned), cast("Any", committer or Committer()))


async def test_grants_are_rows_and_the_rest_is_told_when_to_come_back() -> None:
    owned = Owned()
    (answer,) = await home(owned).answer("w", [ask("1", "2", "3", "4")])
    assert answer["granted"] == ["1", "2", "3"]
    assert 62 < answer["retry_after"] <= 62.5
    assert sorted(owned.store.rows) == [b"g/tool:x/1", b"g/tool:x/2", b"g/tool:x/3"]


async def test_asks_of_several_limits_are_one_unit() -> None:
    owned, committer = Owned(), Committer()
    answers = await home(owned, committer).answer("w", [ask("1"), ask("2", limit="tool:y"), ask("3", limit="agent:z")])
    assert [len(one["granted"]) for one in answers] == [1, 1, 1]
    assert committer.units == 1


async def test_a_request_that_comes_again_is_granted_once() -> None:
    owned, committer = Owned(), Committer()
    made = home(owned, committer)
    await made.answer("w", [ask("1")])
    (again,) = await made.answer("w", [ask("1")])
    assert again["granted"] == ["1"]
    assert (committer.units, len(owned.store.rows)) == (1, 1)


async def test_a_new_home_goes_on_with_what_the_old_one_gave() -> None:
    owned = Owned()
    await home(owned).answer("w", [ask("1", "2")])
    (answer,) = await home(Owned(owned.store)).answer("w", [ask("3", "4")])
    assert answer["granted"] == ["3"]


async def test_a_new_home_of_a_short_window_waits_for_one() -> None:
    owned = Owned()
    (answer,) = await home(owned).answer("w", [ask("1", per=1.0)])
    assert answer["granted"] == []
    assert 0 < answer["retry_after"] <= 1.3
    assert owned.store.rows == {}


async def test_nothing_is_told_that_was_not_committed() -> None:
    owned = Owned()
    made = home(owned)
    owned.live = False
    with pytest.raises(DeadAssignmentError):
        await made.answer("w", [ask("1")])


async def test_rows_that_count_no_more_go_when_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    owned, now = Owned(), [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    made = home(owned)
    await made.answer("w", [ask("1", "2", "3")])
    now[0] += 63
    await made.answer("w", [ask("4")])
    assert sorted(owned.store.rows) == [b"g/tool:x/4"]


async def test_limits_without_grants_are_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool may have a limit for each host that an issue names: memory must not grow with them."""
    owned, now = Owned(), [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    made = home(owned)
    for number in range(5_000):
        now[0] += 1.0
        await made.answer("w", [ask("1", limit=f"tool:x at {number}.example")])
    assert len(made._windows) <= 1_000
    assert len(made._demand) <= 1_000
    assert len(owned.store.rows) <= 1_000
    (answer,) = await made.answer("w", [ask("2", "3", "4", limit="tool:x at 4999.example")])
    assert answer["granted"] == ["2", "3"]  # what counts is not forgotten


async def test_the_sweep_takes_what_is_over_and_nothing_else() -> None:
    owned, committer = Owned(), Committer()
    now = clock.now_ms()
    owned.store.rows = {
        b"g/tool:x/old": b"%d %d" % (now - 100_000, now - 40_000),
        b"g/tool:x/new": b"%d %d" % (now, now + 60_000),
        b"c/old": b"%d 1" % (now - 40_000),
        b"c/new": b"%d 1" % (now + 40_000),
        b"r/run": b"an entry",
    }
    runtime = cast("Any", type("R", (), {"committer": committer, "assignments": {}})())
    await limit_sweep.LimitSweep(runtime).sweep(cast("Any", owned), now)
    listed = listed_key("new", now + 40_000)
    assert sorted(owned.store.rows) == [b"c/new", listed, b"g/tool:x/new", b"r/run"]
