"""The pytest plugin of golden runs: collects `*.golden.json` and runs each against the agents of STREAMS_APPS.

pytest imports this module at every start, so it imports the rest of Streams only when there is a golden run to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from streams.define.agents import Agent

_SUFFIX: Final = ".golden.json"
_UPDATED: Final = "golden_updated"  # the user property of a report: it comes from workers of pytest-xdist, too
_AGENTS: Final = pytest.StashKey[dict[str, "Agent[Any, Any]"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("streams", "golden runs of Streams")
    group.addoption(
        "--golden-update",
        action="store_true",
        help="write what the code does now into golden runs that differ, where no new answer is needed",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a golden run."""
    if not file_path.name.endswith(_SUFFIX):
        return None
    file: GoldenFile = GoldenFile.from_parent(parent, path=file_path)
    return file


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the files that were written."""
    reports = (one for group in terminalreporter.stats.values() for one in group)
    names = {value for one in reports for key, value in getattr(one, "user_properties", ()) if key == _UPDATED}
    if names:
        terminalreporter.section(f"{len(names)} golden run{'s' * (len(names) != 1)} updated")
        for name in sorted(names):
            terminalreporter.line(name)


class GoldenFile(pytest.File):
    """A file with one golden run."""

    def collect(self) -> Iterable[pytest.Item]:
        """Return the one test; the file is read when it runs."""
        name = self.path.name.removesuffix(_SUFFIX)
        item: GoldenItem = GoldenItem.from_parent(self, name=name)
        yield item


class GoldenItem(pytest.Item):
    """Passes if the code does what the golden run did."""

    def runtest(self) -> None:
        """Run it; with --golden-update write down what differs."""
        from streams.testing.golden_file import GoldenFileError, GoldenRun
        from streams.testing.golden_replay import GoldenDifferenceError, replay_golden

        result = replay_golden(GoldenRun.read(self.path), _agents(self.config))
        if result.difference is None:
            return
        if not self.config.getoption("--golden-update"):
            raise GoldenDifferenceError(f"{result.difference}\n{_HINT}")
        try:
            result.updated().write(self.path)
        except GoldenFileError as error:
            raise GoldenDifferenceError(f"{result.difference}\n{error}") from None
        self.user_properties.append((_UPDATED, self.nodeid.partition("::")[0]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what differs, or what is wrong with the file, without a traceback."""
        from streams.errors import StreamsError

        if isinstance(excinfo.value, StreamsError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return what the test is."""
        return self.path, None, f"golden run {self.name}"


_HINT: Final = "If that is meant: `pytest --golden-update` writes it down where no new answer is needed."


def _agents(config: pytest.Config) -> dict[str, Agent[Any, Any]]:
    """Return the agents of STREAMS_APPS, found once for the whole session; raises StreamsError with what is wrong."""
    known = config.stash.get(_AGENTS, None)
    if known is None:
        from streams.app import discover
        from streams.settings import load
        from streams.telemetry import keep_secrets_of

        settings = load()
        keep_secrets_of(settings)  # what differs is shown, and written
        if str(config.rootpath) not in sys.path:
            sys.path.append(str(config.rootpath))  # packages of STREAMS_APPS may lie here, as for the command line
        known = config.stash[_AGENTS] = discover(settings.apps).agents
    return known
