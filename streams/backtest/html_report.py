"""The report as one HTML file: no script, nothing from elsewhere, every text escaped by the serializer."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from streams.printable import one_line
from streams.telemetry import redact_json

if TYPE_CHECKING:
    from streams.backtest.report import BacktestReport
    from streams.backtest.results import RunComparison

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --good: #2e7d32; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--line); font: 13px/1.45 ui-monospace, monospace; }
pre span { display: block; white-space: pre; }
.minus { color: var(--bad); } .plus { color: var(--good); }
.failed { color: var(--bad); font-weight: 600; } .passed { color: var(--good); font-weight: 600; }
summary { cursor: pointer; padding: .25rem 0; }
""".strip()
_SCORE_COLUMNS: Final = ("score", "baseline", "candidate", "difference", "low", "high", "runs")


def html_report(report: BacktestReport) -> str:
    """Return the report as a document that any browser shows, also where a policy forbids scripts."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    document = Element("html", lang="en")
    head = SubElement(document, "head")
    SubElement(head, "meta", charset="utf-8")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _text(head, "title", f"Backtest of {report.agent}")
    _text(head, "style", _STYLE)
    body = SubElement(document, "body")
    _summary(body, report)
    _lanes(body, report)
    _scores(body, report)
    _cohorts(body, report)
    _examples(body, report.examples())
    return "<!doctype html>\n" + tostring(document, encoding="unicode", method="html") + "\n"


def _summary(body: Element, report: BacktestReport) -> None:
    _text(body, "h1", f"Backtest of {report.agent}")
    _text(body, "p", f"Candidate: {', '.join(report.candidate)}")
    policies = ", ".join(f"{name} {policy}" for name, policy in report.policies.items())
    _text(body, "p", f"{len(report.runs)} runs in {report.seconds:.1f} s; {policies}; ${report.spent_usd:.4f} spent")
    if report.stopped is not None:
        _text(body, "p", f"Stopped: {report.stopped}.", "failed")
    if report.drift:
        _text(body, "p", f"The baseline differs from what was observed in {report.drift} runs.", "failed")
    gate = report.gate_result()
    if gate is not None:
        word = "passed" if gate.passed else "failed"
        _text(body, "p", f"Gate {word}: {gate.expression}{f' ({gate.reason})' if gate.reason else ''}", word)


def _lanes(body: Element, report: BacktestReport) -> None:
    _text(body, "h2", "Lanes")
    lanes = report.lanes()
    names = list(dict.fromkeys(name for lane in lanes.values() for name in lane))
    _table(body, ["lane", *names], [[lane, *(values.get(name) for name in names)] for lane, values in lanes.items()])


def _scores(body: Element, report: BacktestReport) -> None:
    _text(body, "h2", "Scores")
    _text(body, "p", "Means over the runs; low and high are the 95 % confidence interval of the paired difference.")
    rows = [
        [name, one.baseline, one.candidate, one.difference, one.low, one.high, one.runs]
        for name, one in report.scores().items()
    ]
    _table(body, _SCORE_COLUMNS, rows)


def _cohorts(body: Element, report: BacktestReport) -> None:
    cohorts = report.cohorts()
    if len(cohorts) < 2:
        return
    _text(body, "h2", "Cohorts")
    names = ("agent", "status", "runs", "equal", "different", "failed", "same_result", "unanswered")
    _table(body, names, [[one[name] for name in names] for one in cohorts])


def _examples(body: Element, examples: Sequence[RunComparison]) -> None:
    _text(body, "h2", "Runs that differ")
    if not examples:
        _text(body, "p", "None.")
    for run in examples:
        details = SubElement(body, "details")
        _text(
            details,
            "summary",
            f"{run.run_id}: {run.observed.status} → {run.first.status}, {run.differing_steps} steps differ",
        )
        for miss in run.first.misses:
            _text(details, "p", miss, "failed")
        lines = [
            f"  input {_json(run.input)}",
            f"- result {_end(run.observed.result, run.observed.error)}",
            f"+ result {_end(run.first.result, run.first.error)}",
        ]
        _diff(details, lines if not run.first.same_result else lines[:1])
        _diff(details, run.diff)


def _diff(parent: Element, lines: Iterable[str]) -> None:
    shown = SubElement(parent, "pre")
    for line in lines:
        kind = {"-": "minus", "+": "plus"}.get(line.lstrip()[:1])
        _text(shown, "span", line, kind)


def _table(parent: Element, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = SubElement(parent, "table")
    head = SubElement(SubElement(table, "thead"), "tr")
    for name in names:
        _text(head, "th", name)
    lines = SubElement(table, "tbody")
    for row in rows:
        line = SubElement(lines, "tr")
        for value in row:
            _text(line, "td", _cell(value))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _end(result: Any, error: Any) -> str:
    return _json(result if error is None else error)


def _json(value: Any) -> str:
    return json.dumps(redact_json(value), ensure_ascii=False, default=str)


def _text(parent: Element, tag: str, text: str, kind: str | None = None) -> None:
    element = SubElement(parent, tag, {} if kind is None else {"class": kind})
    element.text = text if tag == "style" else one_line(text)
