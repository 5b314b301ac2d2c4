"""The pages of the reference are what the generator makes of the code now."""

from __future__ import annotations

import pytest

from docs.generate import FOLDER, PAGES, text_of


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == text_of(name), "run: python -m docs.generate"


def test_no_generated_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(PAGES)
