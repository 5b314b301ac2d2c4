"""What a consumer tells a transactional producer of its membership."""

from __future__ import annotations

from typing import NamedTuple


class ConsumerGroupMetadata(NamedTuple):
    """A group, and who commits for it: a member's id and epoch, or nobody with an empty id and -1."""

    group: str
    member: tuple[str, int] = ("", -1)
