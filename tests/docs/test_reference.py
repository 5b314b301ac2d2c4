"""The pages of the reference are what the generator makes of the code now."""

from __future__ import annotations

import re

import pytest

from docs.generate import FOLDER, PAGES, rooms, text_of


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == text_of(name), "run: python -m docs.generate"


def test_no_generated_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(PAGES)


def test_the_figure_of_the_rooms_is_up_to_date() -> None:
    assert rooms.ARCHITECTURE.read_text("utf-8") == rooms.architecture(), "run: python -m docs.generate"


def test_no_room_is_larger_than_15_percent() -> None:
    assert max(map(int, re.findall(r"<br/>(\d+)%", rooms.figure()))) <= 15
