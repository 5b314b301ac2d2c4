"""Searching local files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.tools._call import call_tool
from streams.tools.documents import FOLDER, DocumentIndex, index_of, passages, search_documents

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "kafka.md").write_text("# Kafka\n\nA log keeps records in order.\n")
    (tmp_path / "deep" / "bread.txt").write_text("Bread needs flour, water and patience.")
    (tmp_path / "data.bin").write_bytes(b"order order order")
    return tmp_path


@pytest.fixture
def index(folder: Path) -> Iterator[DocumentIndex]:
    found = DocumentIndex(folder)
    yield found
    found.close()


def test_the_best_passage_comes_first(index: DocumentIndex) -> None:
    (first, *rest) = index.search("ordered records")
    assert (first.path, first.title) == ("kafka.md", "Kafka")
    assert "keeps records in order" in first.text
    assert rest == []


def test_a_page_is_searched_by_what_a_person_reads(index: DocumentIndex, folder: Path) -> None:
    head, body = "<title>Tea &amp; milk</title>", "<script>hidden()</script><p>Tea is hot.</p>"
    page = f"<html><head>{head}</head><body>{body}</body></html>"
    (folder / "tea.html").write_text(page)
    (found,) = index.search("tea")
    assert (found.title, found.text) == ("Tea & milk", "Tea is hot.")
    assert index.search("hidden script") == []


def test_files_that_change_come_or_go_are_noticed(index: DocumentIndex, folder: Path) -> None:
    assert index.search("patience")
    (folder / "deep" / "bread.txt").write_text("Bread needs salt as well, says the baker.")
    (folder / "new.md").write_text("A new page about salt.")
    assert not index.search("patience")
    assert {found.path for found in index.search("salt")} == {"deep/bread.txt", "new.md"}
    (folder / "new.md").unlink()
    assert {found.path for found in index.search("salt")} == {"deep/bread.txt"}


@pytest.mark.parametrize(
    "query", ["", "  ", "***", '"', "NEAR(", "AND OR NOT", "order'; DROP TABLE passages --", "x" * 10_000]
)
def test_a_query_is_words_and_never_syntax(index: DocumentIndex, query: str) -> None:
    index.search(query)
    assert index.search("order")


def test_links_do_not_lead_out_of_the_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.md").write_text("canary")
    (folder / "link.md").symlink_to(outside / "secret.md")
    (folder / "linked").symlink_to(outside)
    index = DocumentIndex(folder)
    assert index.search("canary") == []
    index.close()


def test_long_texts_are_cut_at_paragraphs() -> None:
    text = "\n\n".join(["a" * 700, "b" * 700, "c" * 3000])
    parts = passages(text)
    assert "".join(parts) == text.replace("\n\n", "")
    assert max(map(len, parts)) <= 1200


async def test_the_tool_searches_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_STATE_DIR", str(tmp_path))
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "a.md").write_text("Falcons fly.")
    (found,) = await call_tool(search_documents, {"query": "falcon"})
    assert found["text"] == "Falcons fly."
    index_of(tmp_path / FOLDER).close()
