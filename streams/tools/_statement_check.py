"""What is known of a statement that was read: apart from the reader, which is loaded in a process of its own."""

from __future__ import annotations

from typing import NamedTuple


class Checked(NamedTuple):
    """A statement without its final semicolon, and the names that follow a dot where a function may be meant."""

    sql: str
    dotted: list[str]
