"""Blocks that are neither Python nor shell: each language is read by its own parser."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Final

import orjson
import pytest

from tests.docs.pages import FILES, Block, blocks
from tests.docs.test_shell import setting

CHECKED_ELSEWHERE: Final = {"python", "sh", "bash", "console"}
OTHERS: Final = [block for path in FILES for block in blocks(path) if block.language not in CHECKED_ELSEWHERE]


@pytest.mark.parametrize("block", OTHERS, ids=str)
def test_every_other_block_is_read_by_the_parser_of_its_language(block: Block) -> None:
    assert block.language in READERS, f"{block}: name the language of the block; output is `text`"
    READERS[block.language](block.text)


def dotenv(text: str) -> None:
    """Read each line as the settings do."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            setting(line.replace("'", ""))


def mermaid(text: str) -> None:
    """Check the kind of the diagram and that its brackets and subgraphs are closed."""
    first = text.strip().split(maxsplit=1)[0]
    assert first in ("flowchart", "sequenceDiagram", "stateDiagram-v2"), first
    for left, right in ("()", "[]", "{}"):
        assert text.count(left) == text.count(right), f"{left} and {right}"
    if first == "flowchart":
        opened = len(re.findall(r"^\s*subgraph\b", text, re.MULTILINE))
        assert opened == len(re.findall(r"^\s*end\s*$", text, re.MULTILINE))


READERS: Final[dict[str, Callable[[str], object]]] = {
    "json": orjson.loads,
    "toml": tomllib.loads,
    "dotenv": dotenv,
    "mermaid": mermaid,
    "text": str,
    "promql": str,  # the names of metrics are checked with those of the pages' text
}
"""What reads each language; `text` is output or a signature, which nothing reads."""
