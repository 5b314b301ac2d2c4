"""One lock: a family at a time, the first in rank next, and nothing lost by repeats or a move."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.limits.key_lock import KeyLock, LockClaim


def claim(run_id: str, root: str | None = None, rank: int = 0, ending: int = 0) -> LockClaim:
    return LockClaim(run_id, root or run_id, rank, ending)


def names(claims: list[LockClaim]) -> list[str]:
    return [one.run_id for one in claims]


def test_the_first_holds_and_the_lowest_rank_is_next() -> None:
    lock = KeyLock()
    assert names(lock.want(claim("a", rank=5))) == ["a"]
    assert lock.want(claim("b", rank=9)) == []
    assert lock.want(claim("c", rank=7)) == []
    assert names(lock.release("a", 1)[1]) == ["c"]
    assert names(lock.release("c", 1)[1]) == ["b"]
    assert names(lock.release("b", 1)[1]) == []
    assert lock.claims == {}


def test_descendants_pass_and_the_lock_is_free_when_all_of_the_family_have_ended() -> None:
    lock = KeyLock()
    lock.want(claim("a"))
    lock.want(claim("other"))
    assert names(lock.want(claim("child", root="a"))) == ["child"]
    assert names(lock.release("a", 1)[1]) == []
    assert names(lock.release("child", 1)[1]) == ["other"]


def test_a_waiting_family_comes_in_together() -> None:
    lock = KeyLock()
    lock.want(claim("a"))
    lock.want(claim("b1", root="b", rank=3))
    lock.want(claim("c", rank=2))
    lock.want(claim("b2", root="b", rank=1))
    assert sorted(names(lock.release("a", 1)[1])) == ["b1", "b2"]
    assert names(lock.release("b1", 1)[1]) == []
    assert names(lock.release("b2", 1)[1]) == ["c"]


def test_a_repeated_wish_is_told_again_and_a_waiting_one_is_not_doubled() -> None:
    lock = KeyLock()
    lock.want(claim("a"))
    assert names(lock.want(claim("a"))) == ["a"]
    assert lock.want(claim("b")) == lock.want(claim("b")) == []
    assert names(lock.release("a", 1)[1]) == ["b"]
    assert lock.release("a", 1) == (None, [])


def test_who_gives_up_waiting_is_passed_over() -> None:
    lock = KeyLock()
    lock.want(claim("a"))
    lock.want(claim("b"))
    lock.want(claim("c"))
    gone, given_now = lock.release("b", 1)
    assert gone is not None
    assert given_now == []
    assert names(lock.release("a", 1)[1]) == ["c"]


def test_a_late_release_of_an_earlier_life_frees_nothing() -> None:
    """A run that failed once and was resumed holds again, also when its first release comes twice."""
    lock = KeyLock()
    lock.want(claim("a"))
    lock.release("a", 1)
    assert names(lock.want(claim("a", ending=1))) == ["a"]
    assert lock.release("a", 1) == (None, [])
    assert lock.want(claim("b")) == []
    assert names(lock.release("a", 2)[1]) == ["b"]


ACTIONS = st.lists(st.tuples(st.sampled_from("wr"), st.integers(0, 7), st.integers(0, 3)), max_size=60)


@given(ACTIONS)
def test_one_family_holds_whatever_comes_and_a_move_changes_nothing(actions: list[tuple[str, int, int]]) -> None:
    lock = KeyLock()
    for kind, number, root in actions:
        run_id = f"r{number}"
        if kind == "w":
            lock.want(claim(run_id, root=f"f{root}", rank=number))
        else:
            lock.release(run_id, 1)
        held = [one for one in lock.claims.values() if one.held]
        assert len({one.root for one in held}) <= 1
        assert held or not lock.claims, "free means that nobody waits"
        moved = KeyLock()
        moved.load([LockClaim(one.run_id, one.root, one.rank, one.ending, one.held) for one in lock.claims.values()])
        lock = moved
