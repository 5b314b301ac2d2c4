"""Apache Kafka's own jars, pinned by checksum, so that the embedded broker is the real one and the same everywhere."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streams.local.errors import DownloadError
from streams.local.maven import repositories, settings_file
from streams.local.progress import download_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jgo.maven import MavenContext

# Not the newest: since 4.3.0 (and still in 4.4.0) a coordinator that is started after a kill -9 takes a partition whose
# leader is yet to be elected for a deleted one, and calls a transaction complete without having notified that
# partition: its readers wait for ever (https://issues.apache.org/jira/browse/KAFKA-20734).
KAFKA_VERSION = "4.2.2"
PARALLEL = 6  # downloads at a time: one by one is three times slower, more is impolite
ALTERNATIVE = "or use a Kafka of your own: set STREAMS_KAFKA_BOOTSTRAP_SERVERS=host:port"


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file: Maven coordinates, `size` in bytes, SHA-256 in hex."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file, as Maven names it."""
        return f"{self.artifact}-{self.version}.jar"

    def fits(self, path: Path) -> bool:
        """Return whether the file at `path` is this jar, by its checksum."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def pinned() -> list[Jar]:
    """Return the broker's class path, from the list beside this module."""
    lines = Path(__file__).with_name("kafka_jars.txt").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return [_jar(coordinates, int(size), sha256) for coordinates, size, sha256 in rows]


def install(folder: Path, jars: Sequence[Jar] | None = None) -> list[Path]:
    """Return the paths of all jars in `folder`, fetching those that are absent or damaged.

    Every file is checked against its checksum each time (45 MB: 35 ms). Several processes may do this at once.
    Raises DownloadError, one line with the alternative, when a jar cannot be had.
    """
    jars = pinned() if jars is None else jars
    missing = [jar for jar in jars if not jar.fits(folder / jar.file)]
    if missing:
        _fetch(folder, missing)
    return [folder / jar.file for jar in jars]


def _jar(coordinates: str, size: int, sha256: str) -> Jar:
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, size, sha256)


def _fetch(folder: Path, jars: Sequence[Jar]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial,
        download_bar(f"Apache Kafka {KAFKA_VERSION}", sum(jar.size for jar in jars)) as advance,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        context = _context(Path(partial), advance)
        for done in [pool.submit(_fetch_one, context, jar, folder) for jar in jars]:
            try:
                done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _fetch_one(context: MavenContext, jar: Jar, folder: Path) -> None:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        path = Path(artifact.resolve())
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises RuntimeError for "not found"
        message = (
            f"Cannot download {jar.file} from a Maven repository ({_short(error)}): check the network, {ALTERNATIVE}."
        )
        raise DownloadError(message) from error
    if not jar.fits(path):
        message = f"{jar.file} was downloaded with a wrong checksum: check your Maven mirror, {ALTERNATIVE}."
        raise DownloadError(message)
    shutil.move(path, folder / jar.file)


def _context(folder: Path, advance: Callable[[int], None]) -> MavenContext:
    """Return jgo's resolver on its own default remote, or on what the user's jgo and Maven settings say instead."""
    from jgo.config import GlobalSettings  # noqa: PLC0415 - only a download needs jgo
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    @contextmanager
    def progress(_file: str, _total: int) -> Iterator[Callable[[int], None]]:
        yield advance

    known = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    remotes = repositories(known, settings_file())
    return MavenContext(PythonResolver(progress_callback=progress), repo_cache=folder, remote_repos=remotes)


def _short(error: BaseException) -> str:
    """Name the root cause only: the texts of HTTP clients quote whole connection pools."""
    cause = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(error).__name__}: {cause}".splitlines()[0][:120]
