"""Writes a new project: a folder that depends on Streams, with one agent, its test, settings and containers."""

from __future__ import annotations

import json
import keyword
import re
import secrets
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from streams.cli.scaffold import Place, ScaffoldError, write
from streams.local.broker_settings import SHARED

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT: Final = "summary"
FILES: Final = {
    "pyproject.toml": "pyproject.toml",
    ".env": "env",
    ".gitignore": "gitignore",
    ".dockerignore": "dockerignore",
    "Dockerfile": "Dockerfile",
    "docker-compose.yml": "docker-compose.yml",
    "README.md": "README.md",
}
PYTEST: Final = "9.2.0"
HATCHLING: Final = "1.28.0"


def write_project(name: str, here: Path) -> list[Path]:
    """Write the project into the new folder `here/name` and return its files; ScaffoldError if that cannot be."""
    package = _package_of(name)
    root = here / name
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        message = f"{root} exists and is not empty: choose another name, or remove it."
        raise ScaffoldError(message)
    words = {
        "name": name,
        "package": package,
        "version": distribution("streams").version,
        "source": _source(),
        "pytest": PYTEST,
        "hatchling": HATCHLING,
        "api_key": secrets.token_hex(16),
        "cluster_secret": secrets.token_hex(16),
        "kafka": "\n".join(f'      KAFKA_{key.upper().replace(".", "_")}: "{value}"' for key, value in SHARED.items()),
    }
    (root / package).mkdir(parents=True)
    made = [_write(root / file, template, words) for file, template in FILES.items()]
    (root / ".env").chmod(0o600)
    made.append(_write(root / package / "__init__.py", "package.py", words))
    return made + write("agent", AGENT, Place(root / package, package, root / "tests"))


def _write(path: Path, template: str, words: Mapping[str, str]) -> Path:
    text = files("streams.cli.template.project").joinpath(f"{template}.txt").read_text("utf-8")
    path.write_text(Template(text).substitute(words), "utf-8")
    return path


def _package_of(name: str) -> str:
    """Return the name of the project's package; ScaffoldError for one that cannot be, or is taken."""
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*[a-z0-9]|[a-z]", name) or keyword.iskeyword(package):
        message = f"{name!r} is no name for a project: use small letters, digits, - and _."
        raise ScaffoldError(message)
    if package in sys.stdlib_module_names or package == "tests" or _is_installed(package):
        message = f"{package!r} is the name of another Python package: choose another one for the project."
        raise ScaffoldError(message)
    return package


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def _source() -> str:
    """Return where uv finds Streams, as a table of pyproject.toml: empty when it came from a package index."""
    try:
        text = distribution("streams").read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    found = None if text is None else _place_of(json.loads(text))
    return "" if found is None else f"\n[tool.uv.sources]\nstreams = {{ {found} }}\n"


def _place_of(direct: Mapping[str, Any]) -> str:
    """Return the place that PEP 610's `direct_url.json` names, as uv writes it."""
    url = str(direct["url"])
    if "vcs_info" in direct:
        return f"git = {json.dumps(url)}, rev = {json.dumps(direct['vcs_info']['commit_id'])}"
    if not url.startswith("file:"):
        return f"url = {json.dumps(url)}"
    editable = ", editable = true" if direct.get("dir_info", {}).get("editable") else ""
    return f"path = {json.dumps(unquote(urlsplit(url).path))}{editable}"
