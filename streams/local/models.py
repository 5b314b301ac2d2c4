"""The folder of language models: any GGUF file comes in by URL or path, whole and with its checksum, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from streams.local.errors import DownloadError, LocalError
from streams.local.gguf import FILE as BUILT_IN
from streams.local.gguf import SHA256 as BUILT_IN_SHA256
from streams.local.progress import download_bar
from streams.telemetry import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAGIC = b"GGUF"  # the first bytes of every such file
SUFFIX = ".gguf"
SUM = ".sha256"  # beside a model: a line that `sha256sum --check` reads
CHUNK = 1 << 20
TIMEOUT_S = 30.0  # without a byte


class Model(NamedTuple):
    """A model in the folder; `bytes` is its size, `sha256` the checksum that it came with."""

    name: str
    path: Path
    bytes: int
    sha256: str


def folder_of(cache_dir: Path) -> Path:
    """Return the folder of models."""
    return cache_dir / "models"


def models(folder: Path) -> list[Model]:
    """Return the models in the folder by name; one without a checksum of its own is read for it."""
    found = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    return [Model(path.stem, path, path.stat().st_size, _known_sum(path)) for path in found]


def find(name: str | Path, folder: Path) -> Path | None:
    """Return the file that a name of the folder, or a path, means; None if there is none."""
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if len(path.parts) != 1:
        return None
    candidates = (folder / path.name, folder / f"{path.name}{SUFFIX}")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def pull(source: str, folder: Path, sha256: str | None = None) -> Model:
    """Bring a model from a URL or path into the folder, replacing one of that name.

    Raises DownloadError when it cannot be read whole, is no GGUF file or has another checksum than `sha256`; the
    folder is as before then.
    """
    parts = urlsplit(source)
    remote = parts.scheme in {"http", "https"}
    name = Path(unquote(parts.path) if remote else source).name
    if not name.lower().endswith(SUFFIX):
        raise DownloadError(f"{redact(source)} does not name a {SUFFIX} file: give the URL or path of one.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        draft = Path(partial) / name
        digest = _fetched(source, draft) if remote else _copied(Path(source), draft)
        _require_gguf(draft, source)
        if sha256 is not None and digest != sha256.strip().lower():
            raise DownloadError(f"{redact(source)} has the checksum {digest}, not {sha256}: it is not what you expect.")
        target = folder / name
        target.with_name(name + SUM).unlink(missing_ok=True)
        shutil.move(draft, target)
        target.with_name(name + SUM).write_text(f"{digest}  {name}\n", "utf-8")
    return Model(target.stem, target, target.stat().st_size, digest)


def verify(model: Model) -> None:
    """Read a model again; LocalError if it is not the one that came."""
    if _digest(model.path) != model.sha256:
        raise LocalError(f"{model.path} is damaged: delete it and pull it again.")


def _fetched(url: str, target: Path) -> str:
    request = urllib.request.Request(url, headers={"User-Agent": "streams"})  # noqa: S310 - http and https only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            size = int(response.headers.get("Content-Length") or 0)
            with download_bar(target.name, size) as advance:
                digest = _written(_chunks(response), target, advance)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise DownloadError(
            f"Cannot download {redact(url)} ({redact(str(error))}): check the URL and the network."
        ) from error
    if size and target.stat().st_size != size:
        raise DownloadError(f"{redact(url)} ended after {target.stat().st_size:,} of {size:,} bytes: try again.")
    return digest


def _copied(path: Path, target: Path) -> str:
    try:
        size = path.stat().st_size
        with path.open("rb") as file, download_bar(target.name, size) as advance:
            return _written(_chunks(file), target, advance)
    except OSError as error:
        raise DownloadError(f"Cannot read {path} ({error.strerror}): give a URL, or a path to a file.") from error


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _written(chunks: Iterator[bytes], target: Path, advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _require_gguf(path: Path, source: str) -> None:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise DownloadError(f"{redact(source)} is no GGUF file: it does not begin with {MAGIC.decode()}.")


def _known_sum(path: Path) -> str:
    if path.name == BUILT_IN:
        return BUILT_IN_SHA256
    beside = path.with_name(path.name + SUM)
    if beside.is_file():
        return beside.read_text("utf-8").partition(" ")[0]
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
