"""Names are words of the field: one class a name, no metaphors, no module named by a participle or an adverb.

The terms are in `docs/explanation/glossary.md`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest

from tests.house.files import ROOT, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.house

BANNED: Final = frozenset(
    [
        "ahead",
        "book",
        "buried",
        "bury",
        "courier",
        "desk",
        "flights",
        "hall",
        "hear",
        "heard",
        "kept",
        "passage",
        "rooms",
        "said",
        "slice",
        "slices",
        "spending",
        "spoken",
        "tell",
        "thinker",
        "told",
        "toll",
        "unsaid",
        "untold",
        "voice",
        "voices",
    ]
)
"""Words that no identifier has as a part: each stood for a term of the glossary, or for several."""
DATA: Final = frozenset({"Passage", "PASSAGE", "passage", "passages", "told", "tell_alert"})
"""Names that are data: of a tool's output and of a shipped reaction, whose positions are stored under it."""
DATA_ROOMS: Final = ("streams/agents/", "streams/tools/", "streams/reactions/")

PROSE: Final = {
    "a dead letter": r"(?<![Dd]ead )(?<!dead-)\bletters\b(?!,? (?:or )?digits)",
    "to report, notify or return": r"\b(?:told|tells?|heard?|hears|spoken?|speaks?)\b",
    "to answer, write or send": r"\bsaid\b",
    "to have, store or return": r"\b(?:is|are|was|were) kept\b",
    "to return, print, note or send": r'^"""(?:Says?|Tells?|Gives?|Knows?|Hears?)\b(?! a scope)',
}
"""Words of docstrings and comments that stand for a plain one; words between backticks are names."""

PARTICIPLE: Final = re.compile(r"(?:^|_)\w+(?:ed|ly)$")
IRREGULAR: Final = frozenset(
    [
        "again",
        "ahead",
        "early",
        "gone",
        "held",
        "kept",
        "known",
        "past",
        "said",
        "seen",
        "shown",
        "spoken",
        "told",
        "unread",
        "written",
    ]
)
NOUNS: Final = frozenset({"feed", "reply"})


def test_no_class_name_is_used_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_module_is_named_by_a_participle_or_an_adverb() -> None:
    names = {path: path.stem.strip("_") for path in modules()}
    assert [
        str(path.relative_to(ROOT))
        for path, name in names.items()
        if name.rpartition("_")[2] not in NOUNS and (PARTICIPLE.search(name) or name in IRREGULAR)
    ] == []


def test_no_identifier_is_a_banned_word() -> None:
    found = []
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        data = DATA | {"tell"} if name.startswith(DATA_ROOMS) else {"tell"}  # `tell` is a method of open files
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
        found += [
            f"{name}:{token.start[0]}: {token.string}"
            for token in tokens
            if token.type == tokenize.NAME
            and token.string not in data
            and BANNED & {part.lower() for part in re.split(r"_|(?<=[a-z])(?=[A-Z])", token.string)}
        ]
    assert found == []


@pytest.mark.parametrize("plain", PROSE)
def test_docstrings_and_comments_use_the_plain_word(plain: str) -> None:
    pattern = re.compile(PROSE[plain])
    assert [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in modules()
        for number, line in _prose(path.read_text("utf-8"))
        if pattern.search(re.sub(r"`[^`]*`", "", line))
    ] == []


def _prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a module's docstrings and comments."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.type == tokenize.STRING and token.string.startswith('"""')
        if text or token.type == tokenize.COMMENT:
            yield from enumerate(token.string.splitlines(), token.start[0])


def test_every_class_of_the_glossary_exists() -> None:
    text = (ROOT / "docs/explanation/glossary.md").read_text("utf-8")
    named = {
        name for row in re.findall(r"^\| (.*?) \|", text, re.MULTILINE) for name in re.findall(r"`([A-Z]\w+)`", row)
    }
    classes = {
        node.name
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    assert named - classes == set()
