"""Metrics, from the places in the source that declare them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streams
from docs.generate.markdown import code, table
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """# Metrics

The gateway and each worker serve `GET /metrics` in the text format of Prometheus. A counter's name ends with
`_total`, a histogram has the series `_bucket`, `_sum` and `_count`.

"""
KINDS: Final = {
    "Counter": "counter",
    "CounterMetricFamily": "counter",
    "Gauge": "gauge",
    "GaugeMetricFamily": "gauge",
    "Histogram": "histogram",
    "HistogramMetricFamily": "histogram",
}
PREFIX: Final = "streams_"
SOURCE: Final = Path(streams.__file__).parent


@dataclass(frozen=True, slots=True, order=True)
class Declared:
    """One metric."""

    name: str
    kind: str
    process: str
    labels: tuple[str, ...]
    help: str


def page() -> str:
    """Return the page."""
    rows = [
        (code(one.name), one.kind, one.process, ", ".join(code(label) for label in one.labels), one.help)
        for one in declared()
    ]
    return INTRODUCTION + table(("metric", "kind", "served by", "labels", "meaning"), rows)


def declared() -> list[Declared]:
    """Return every metric that a module of the product declares; StreamsError for a name that is not literal."""
    return sorted({one for path in SOURCE.rglob("*.py") for one in _in(path)})


def _in(path: Path) -> Iterator[Declared]:
    text = path.read_text("utf-8")
    if "prometheus_client" not in text:
        return
    tree = ast.parse(text)
    classes = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
            place = f"{path.relative_to(SOURCE.parent)}:{node.lineno}"
            process = "gateway" if "gateway" in path.relative_to(SOURCE).parts else "worker"
            yield _metric(node, KINDS[node.func.id], process, place)


def _imported(tree: ast.AST) -> set[str]:
    """Return the classes of metrics that a module imports from the client library."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
        for alias in node.names
        if alias.name in KINDS
    }


def _metric(call: ast.Call, kind: str, process: str, place: str) -> Declared:
    named = {word.arg: word.value for word in call.keywords if word.arg}
    labels = named.get("labels") or named.get("labelnames") or _third(call)
    try:
        name, text = (ast.literal_eval(argument) for argument in call.args[:2])
        found: tuple[Any, ...] = tuple(ast.literal_eval(labels)) if labels is not None else ()
    except ValueError as error:
        raise StreamsError(f"{place}: write name, help and labels of a metric as literals") from error
    if not name.startswith(PREFIX):
        raise StreamsError(f"{place}: the metric {name!r} must begin with {PREFIX}")
    suffix = "_total" if kind == "counter" and not name.endswith("_total") else ""
    return Declared(name + suffix, kind, process, found, text)


def _third(call: ast.Call) -> ast.expr | None:
    """Return the third argument where it lists labels: a family takes values there."""
    listed = len(call.args) > 2 and isinstance(call.args[2], ast.List | ast.Tuple)
    return call.args[2] if listed else None
