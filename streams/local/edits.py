"""Restarts the workers of a local pipeline after an edit of the user's code; Kafka and the model stay up.

The gateway is restarted as well when the edit changes what it knows: names, options, schemas, sources.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streams.app import BUILT_IN, SAMPLE, expanded
from streams.clock import monotonic
from streams.errors import StreamsError
from streams.local.fingerprint import fingerprint
from streams.local.spawn import ended
from streams.settings import ENV_FILE, child_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.local.forks import Forks
    from streams.local.merged_log import MergedLog
    from streams.local.running import Running
    from streams.local.supervisor import Child

_IGNORED: Final = frozenset({"__pycache__", "node_modules", "tests", "build", "dist"})
_PRODUCT: Final = Path(__file__).resolve().parent.parent.parent
_STEP_MS: Final = 50  # an editor may write a file in several steps
_SHOWN: Final = 3


async def reload_on_edits(running: Running, forks: Forks, log: MergedLog) -> None:
    """Reload after each edit, until it is cancelled."""
    project = Project(Path.cwd(), running.settings.apps)
    log.line("dev", f"restarting the workers after edits in {', '.join(map(str, project.folders))}")
    known = await asyncio.to_thread(fingerprint, running.catalog)
    edits: asyncio.Queue[set[Path]] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(project, project.folders, edits, recursive=True))
        group.create_task(_watch(project, [project.root], edits, recursive=False))
        while True:
            changed = await edits.get()
            while not edits.empty():
                changed |= edits.get_nowait()
            if _code(project, changed, log):
                known = await _reload(running, forks, log, known)


class Project:
    """Where the user's code lies: the current folder, and the packages of STREAMS_APPS."""

    def __init__(self, root: Path, apps: Sequence[str]) -> None:
        """Find the folders; a package that lies elsewhere is watched, too."""
        self.root = root.resolve()
        self.packages = [folder for app in expanded(apps or SAMPLE) for folder in _folders(app)]
        inside = any(folder.is_relative_to(self.root) for folder in self.packages)
        own = [folder for folder in sorted(self.root.iterdir()) if folder.is_dir() and self._is_code(folder)]
        candidates = [*(own if inside else ()), *self.packages]
        self.folders = [
            one for one in dict.fromkeys(candidates) if not any(one.is_relative_to(o) for o in candidates if o != one)
        ]

    def is_watched(self, path: Path) -> bool:
        """Return whether a change of that file may change what workers do: code, `.env`, or a file of a package."""
        if path == self.root / ENV_FILE:
            return True
        known = path.suffix == ".py" or any(path.is_relative_to(folder) for folder in self.packages)
        return known and self._is_code(path) and path.suffix not in {".pyc", ".swp"} and not path.name.endswith("~")

    def is_product(self, path: Path) -> bool:
        """Return whether a file is Streams' own code, which the fork server has imported."""
        if not any(path.is_relative_to(_PRODUCT / name) for name in ("streams", "schemas", "topics")):
            return False
        sample = [_PRODUCT.joinpath(*name.split(".")) for name in SAMPLE]
        built_in = [_PRODUCT.joinpath(*name.split(".")).with_suffix(".py") for name in BUILT_IN]
        return path in built_in or not any(path.is_relative_to(folder) for folder in sample)

    def _is_code(self, path: Path) -> bool:
        parts = path.relative_to(self.root).parts if path.is_relative_to(self.root) else (path.name,)
        return not any(part.startswith(".") or part in _IGNORED for part in parts)


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(folder).resolve() for folder in spec.submodule_search_locations]
    return [Path(spec.origin).resolve().parent] if spec.origin else []


async def _watch(
    project: Project, folders: Sequence[Path], edits: asyncio.Queue[set[Path]], *, recursive: bool
) -> None:
    from watchfiles import awatch  # noqa: PLC0415 - part of the extra `local`

    def concerns(_change: object, path: str) -> bool:
        return project.is_watched(Path(path))

    async for changes in awatch(*folders, watch_filter=concerns, step=_STEP_MS, recursive=recursive):
        edits.put_nowait({Path(path) for _, path in changes})


def _code(project: Project, changed: set[Path], log: MergedLog) -> set[Path]:
    """Return which of the files are code that workers import; log what to do about the others."""
    env = {project.root / ENV_FILE} & changed
    if env:
        log.line("dev", f"{ENV_FILE} changed: restart `streams dev` to use its settings")
    product = {path for path in changed if project.is_product(path)}
    if product:
        log.line("dev", f"{_names(project, product)}: part of Streams itself, restart `streams dev` to run it")
    code = changed - product - env
    if code:
        log.line("dev", f"{_names(project, code)} changed")
    return code


async def _reload(running: Running, forks: Forks, log: MergedLog, known: str) -> str:
    """Restart what runs the user's code and return the new fingerprint, the old one if it cannot be imported."""
    begun = monotonic()
    now = await _declared(running, forks, log, known)
    if now is None:
        log.line("dev", "the workers go on with the code before: correct the error above")
        return known
    others = () if now == known else (running.gateway,)
    if await _restart(running, (*running.workers, *others), log):
        log.line("dev", f"reloaded in {monotonic() - begun:.1f} s")
    return now


async def _restart(running: Running, children: Sequence[Child], log: MergedLog) -> bool:
    """Restart processes; return whether all are ready, and log what the others lack."""
    restarts = map(running.supervisor.restart, children)
    failures = [error for error in await asyncio.gather(*restarts, return_exceptions=True) if error is not None]
    for failure in failures:
        if not isinstance(failure, StreamsError):
            raise failure
        log.line("dev", str(failure))
    return not failures


async def _declared(running: Running, forks: Forks, log: MergedLog, known: str) -> str | None:
    """Import the code in a process of its own, which creates the topics that it adds; return its fingerprint."""
    environment = child_environment(running.settings)
    process = await asyncio.to_thread(forks.launch, ["declare", "--known", known], environment)
    with process.stdout as pipe:
        output, status = await asyncio.gather(asyncio.to_thread(pipe.readall), ended(process))
    lines = output.decode("utf-8", "replace").splitlines()
    shown = lines if status != 0 else lines[:-1]  # what the user's modules print
    for line in shown:
        log.line("dev", line)
    return lines[-1] if status == 0 else None


def _names(project: Project, paths: set[Path]) -> str:
    names = sorted(str(one.relative_to(project.root) if one.is_relative_to(project.root) else one) for one in paths)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
