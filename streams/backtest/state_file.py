"""Keeps what a backtest has done, run by run, so that one that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streams.backtest.errors import BacktestError
from streams.backtest.results import RunComparison


class StateFile:
    """A file of JSON lines: what the backtest is about, then one line for each run."""

    def __init__(self, path: Path, subject: Mapping[str, Any]) -> None:
        """Read the file if there is one; raise BacktestError if it is damaged or of another backtest."""
        self._path = path
        self._subject = dict(subject)
        self.done: dict[str, RunComparison] = {}
        self.spent = 0.0
        if path.is_file():
            self._read(path.read_text("utf-8").splitlines())

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    def add(self, run: RunComparison, spent: float) -> None:
        """Keep a run, and what was spent until now."""
        if not self.done:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps({"subject": self._subject}) + "\n", "utf-8")
        self.done[run.run_id] = run
        self.spent = spent
        line = json.dumps({"spent": spent, "run": run.model_dump(mode="json")}, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.write(line + "\n")

    def remove(self) -> None:
        """Delete the file: the backtest is complete."""
        self._path.unlink(missing_ok=True)

    def _read(self, lines: list[str]) -> None:
        if not lines:
            return
        try:
            subject = json.loads(lines[0])["subject"]
        except (ValueError, KeyError, TypeError):
            raise BacktestError(f"{self._path} is no state of a backtest: name another file with --state") from None
        if subject != json.loads(json.dumps(self._subject)):
            other = ", ".join(name for name in self._subject if subject.get(name) != self._subject[name]) or "subject"
            raise BacktestError(
                f"{self._path} is the state of another backtest (other {other}): delete it to begin anew, or name "
                "another file with --state"
            )
        for number, line in enumerate(lines[1:], 2):
            try:
                found = json.loads(line)
                run = RunComparison.model_validate(found["run"])
            except (ValueError, KeyError, TypeError, ValidationError):
                if number == len(lines):  # a kill cut the last line off
                    break
                raise BacktestError(f"{self._path}:{number} is damaged: delete the file to begin anew") from None
            self.done[run.run_id] = run
            self.spent = float(found["spent"])
        if len(self.done) < len(lines) - 1:
            self._rewrite()

    def _rewrite(self) -> None:
        runs, spent = list(self.done.values()), self.spent
        self.done.clear()
        for run in runs:
            self.add(run, spent)


def file_digest(path: Path) -> str:
    """Return a digest of a file's content, empty for one that there is not."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
