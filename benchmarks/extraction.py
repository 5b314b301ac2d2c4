"""Scores what `scrape_url` takes for the main text on the public article extraction benchmark (181 labelled pages).

    git clone https://github.com/scrapinghub/article-extraction-benchmark pages
    uv run python -m benchmarks.extraction pages

The folder may also be a bare clone. The corpus is MIT-licensed, its pages are their publishers': it is read, not kept.
The measure is the one that the benchmark's README defines: texts are compared as bags of shingles of four words, the
counts of each page are divided by their sum so that long pages weigh no more, precision and recall are means over
pages, and F1 is that of the two means. The interval is a bootstrap over pages with a fixed seed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streams import clock
from streams.tools._reading import read_page

WORD = re.compile(r"\w+")
SHINGLE = 4
RESAMPLES = 1_000


class Score(NamedTuple):
    """Shares of one page's shingles: found, found without being there, there without being found."""

    right: float
    extra: float
    missed: float


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Return the bag of all runs of four words; a shorter text is one shingle."""
    words = WORD.findall(text)
    if not words:
        return Counter()
    return Counter(tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))


def score(expected: str, found: str) -> Score:
    """Compare two texts."""
    wanted, got = shingles(expected), shingles(found)
    counts = ((wanted & got).total(), (got - wanted).total(), (wanted - got).total())
    total = sum(counts) or 1
    return Score(*(count / total for count in counts))


def summary(scores: list[Score]) -> tuple[float, float, float]:
    """Return F1, precision and recall over pages; one without prediction has no precision, without text no recall."""
    precision = statistics.fmean(s.right / (s.right + s.extra) for s in scores if s.right + s.extra)
    recall = statistics.fmean(s.right / (s.right + s.missed) for s in scores if s.right + s.missed)
    return 2 * precision * recall / (precision + recall), precision, recall


def pages(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield id, page and article text from a clone, bare or not."""
    bare = not (folder / "ground-truth.json").exists()

    def read(path: str) -> bytes:
        if not bare:
            return (folder / path).read_bytes()
        return subprocess.run(
            ["git", "-C", str(folder), "show", f"HEAD:{path}"], check=True, capture_output=True
        ).stdout

    for name, truth in sorted(json.loads(read("ground-truth.json")).items()):
        yield name, gzip.decompress(read(f"html/{name}.html.gz")), truth.get("articleBody", "")


def main() -> None:
    """Print the score, its interval and the worst pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worst", type=int, default=0, help="how many of the worst pages to name")
    asked = parser.parse_args()
    scores: dict[str, Score] = {}
    begun = clock.monotonic()
    for name, page, truth in pages(asked.folder):
        scores[name] = score(truth, read_page(page, "text/html").text)
    spent = clock.monotonic() - begun
    values = list(scores.values())
    f1, precision, recall = summary(values)
    chance = random.Random(1)
    spread = statistics.stdev(summary(chance.choices(values, k=len(values)))[0] for _ in range(RESAMPLES))
    print(f"{len(values)} pages, {spent / len(values) * 1000:.0f} ms each")
    print(f"F1 {f1:.3f} ± {spread:.3f}, precision {precision:.3f}, recall {recall:.3f}")
    for name, one in sorted(scores.items(), key=lambda item: item[1].right)[: asked.worst]:
        print(f"  {name}: right {one.right:.2f}, extra {one.extra:.2f}, missed {one.missed:.2f}")


if __name__ == "__main__":
    main()
