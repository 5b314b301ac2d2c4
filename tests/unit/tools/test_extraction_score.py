"""The scorer of the extraction benchmark, on texts whose score can be worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.extraction import Score, score, shingles, summary


def test_shingles_are_runs_of_four_words() -> None:
    assert shingles("a b c d e") == {("a", "b", "c", "d"): 1, ("b", "c", "d", "e"): 1}
    assert shingles("a, b!") == {("a", "b"): 1}
    assert shingles("") == {}


@pytest.mark.parametrize(
    ("expected", "found", "share"),
    [
        ("a b c d", "a b c d", Score(1, 0, 0)),
        ("a b c d", "", Score(0, 0, 1)),
        ("", "a b c d", Score(0, 1, 0)),
        ("", "", Score(0, 0, 0)),
        ("a b c d e", "a b c d x", Score(1 / 3, 1 / 3, 1 / 3)),
        ("a b c d a b c d", "a b c d", Score(1 / 5, 0, 4 / 5)),
    ],
)
def test_a_page_is_scored_by_shares(expected: str, found: str, share: Score) -> None:
    assert score(expected, found) == pytest.approx(share)


def test_f1_is_of_mean_precision_and_mean_recall() -> None:
    f1, precision, recall = summary([Score(1, 0, 0), Score(0.5, 0.5, 0), Score(0, 0, 1)])
    assert (precision, recall) == pytest.approx((0.75, 2 / 3))
    assert f1 == pytest.approx(2 * 0.75 * (2 / 3) / (0.75 + 2 / 3))
