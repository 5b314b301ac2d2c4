"""Records that retention deleted before they were read: found at a restore and when a consumer catches up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from streams.runtime.restore import Restorer
from streams.runtime.retention_gaps import RetentionGap, RetentionGaps
from streams.worker.events import catch_up
from tests.unit.runtime._fakes import owned_assignment


class Changelogs:
    """Says where the sources' logs begin and end."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def offsets(self, places: set[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        earliest = type(spec).__name__ == "EarliestSpec"
        return dict.fromkeys(places, self._low if earliest else self._high)


@pytest.mark.parametrize(
    ("group", "low", "gap"),
    [(5, 9, RetentionGap("t.in", 0, 5, 9)), (9, 9, None), (12, 9, None), (-1, 9, None)],
    ids=["unread", "just read", "read", "a new group"],
)
def test_a_restore_finds_what_was_deleted_behind_the_groups_offset(
    tmp_path: Path, group: int, low: int, gap: RetentionGap | None
) -> None:
    gaps, owned = RetentionGaps(), owned_assignment(tmp_path)
    restorer = Restorer({}, "g", "journal", gaps)
    vars(restorer)["_changelogs"] = Changelogs(low, 20)
    restorer._starts(owned, {("t.in", 0): group, ("t.signals", 0): low})
    assert gaps.take() == ([] if gap is None else [gap])
    assert owned.sources["t.in"].applied == max(group, low)


def test_who_catches_up_on_the_bus_finds_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps = RetentionGaps()
    monkeypatch.setattr(catch_up, "offsets", lambda *_, **__: {1: 30})
    monkeypatch.setattr(catch_up, "read", lambda *_, **__: iter(()))
    read = catch_up.reading(cast("Any", None), "events", gaps)
    list(read(1, 10, 40))
    list(read(1, 30, 40))
    assert gaps.take() == [RetentionGap("events", 1, 10, 30)]
    assert gaps.offsets == {"events": 20}
