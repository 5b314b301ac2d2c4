"""The tool that searches local files, so that an agent has something to look things up in without a network."""

from __future__ import annotations

import re
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from streams import settings, tool
from streams.tools._bounded_process import bounded

SUFFIXES = frozenset({".md", ".txt", ".rst", ".html", ".json", ".csv", ".adoc"})
FOLDER = "documents"  # in the state folder
MAX_FILE = 2_000_000  # bytes; a larger one is data rather than a document
MAX_FILES = 10_000
PASSAGE = 1_200  # characters of a passage, cut at a paragraph's end where there is one
MAX_HITS = 20
READ_S = 10.0  # for one page


class Passage(BaseModel):
    """A part of a document; `path` is relative to the folder, `score` is higher for a better match."""

    path: str
    title: str
    text: str
    score: float


@tool(timeout=30)
def search_documents(query: str, limit: int = 5) -> list[Passage]:
    """Search the local documents for words and return the passages that fit best, the best one first."""
    return index_of(settings.load().state_dir / FOLDER).search(query, limit)


class _Seen(NamedTuple):
    """What shows whether a file has changed."""

    changed_ns: int
    size: int


class DocumentIndex:
    """A full-text index over a folder, in memory: SQLite's FTS5 ranks by BM25, and a changed file is read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE passages USING fts5(title, text, path UNINDEXED, tokenize='porter unicode61')"
        )

    def search(self, query: str, limit: int = 5) -> list[Passage]:
        """Return at most `limit` (and 20) passages with some of the words; words are all there is to the query."""
        words = re.findall(r"\w+", query)[:32]
        if not words:
            return []
        with self._lock:
            self._refresh()
            found = self._database.execute(
                "SELECT path, title, text, -bm25(passages, 4.0, 1.0) FROM passages WHERE passages MATCH ? "
                "ORDER BY bm25(passages, 4.0, 1.0), path, rowid LIMIT ?",
                (" OR ".join(f'"{word}"' for word in words), max(0, min(limit, MAX_HITS))),
            ).fetchall()
        return [Passage(path=path, title=title, text=text, score=round(score, 3)) for path, title, text, score in found]

    def close(self) -> None:
        """Let go of the memory."""
        self._database.close()

    def _refresh(self) -> None:
        """Bring the index in step with the folder; only what changed is read."""
        present = dict(self._files())
        for path in self._seen.keys() - present.keys():
            self._forget(path)
        for path, seen in present.items():
            if self._seen.get(path) != seen:
                self._forget(path)
                self._read(path, seen)

    def _files(self) -> list[tuple[str, _Seen]]:
        """Return readable documents below the folder; links are not followed, they may lead out of it."""
        found = []
        root = self._folder.resolve()
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or path.is_symlink() or not path.is_file():
                continue
            if not path.resolve().is_relative_to(root):
                continue
            status = path.stat()
            if status.st_size <= MAX_FILE:
                found.append((str(path.relative_to(root)), _Seen(status.st_mtime_ns, status.st_size)))
            if len(found) == MAX_FILES:
                break
        return found

    def _forget(self, path: str) -> None:
        if self._seen.pop(path, None) is not None:
            self._database.execute("DELETE FROM passages WHERE path = ?", (path,))

    def _read(self, path: str, seen: _Seen) -> None:
        title, text = _titled(self._folder / path)
        rows = [(title, passage, path) for passage in passages(text)]
        self._database.executemany("INSERT INTO passages (title, text, path) VALUES (?, ?, ?)", rows)
        self._seen[path] = seen


def _titled(path: Path) -> tuple[str, str]:
    """Return a document's title and text: of a page what a person reads, without its marks and scripts."""
    body = path.read_bytes()
    if path.suffix.lower() == ".html":
        page = bounded("read_page", READ_S, {"content_type": "text/html"}, body)
        return page["title"] or path.stem, page["text"]
    text = body.decode("utf-8", errors="replace")
    heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
    return heading.group(1).strip() if heading else path.stem, text


def passages(text: str) -> list[str]:
    """Cut a text at blank lines into parts of at most 1,200 characters, longer paragraphs at that length."""
    parts: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        for start in range(0, len(paragraph), PASSAGE):
            piece = paragraph[start : start + PASSAGE].strip()
            if parts and len(parts[-1]) + len(piece) + 2 <= PASSAGE:
                parts[-1] = f"{parts[-1]}\n\n{piece}"
            elif piece:
                parts.append(piece)
    return parts


_indexes: dict[Path, DocumentIndex] = {}
_opening = threading.Lock()


def index_of(folder: Path) -> DocumentIndex:
    """Return the process's index over a folder, made when first asked for."""
    with _opening:
        if folder not in _indexes:
            _indexes[folder] = DocumentIndex(folder)
        return _indexes[folder]
