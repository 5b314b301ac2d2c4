"""The user's Maven settings decide where jars come from, because many networks only reach a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit
from xml.etree import ElementTree as ET

from streams.local.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def settings_file() -> Path:
    """Return where Maven keeps a user's settings."""
    return Path.home() / ".m2" / "settings.xml"


def repositories(known: Mapping[str, str], settings: Path) -> dict[str, str]:
    """Return `known` (id to URL) as the mirrors and credentials in the `settings` file change it.

    Follows Maven's rule: a mirror for the exact id wins, else the first whose pattern matches.
    Raises DownloadError when the file is not XML.
    """
    if not settings.is_file():
        return dict(known)
    try:
        root = ET.parse(settings).getroot()  # noqa: S314 - the user's own file, as trusted as their shell's
    except ET.ParseError as error:
        message = f"{settings} is not valid XML ({error}): repair or remove it."
        raise DownloadError(message) from None
    mirrors = [(_text(node, "id"), _text(node, "url"), _text(node, "mirrorOf")) for node in _all(root, "mirror")]
    logins = {_text(node, "id"): (_text(node, "username"), _text(node, "password")) for node in _all(root, "server")}
    result = {}
    for name, url in known.items():
        mirror, mirrored = next(_matching(mirrors, name, url), (name, url))
        result[mirror] = _with_login(mirrored.rstrip("/"), *logins.get(mirror, ("", "")))
    return result


def _matching(mirrors: list[tuple[str, str, str]], name: str, url: str) -> Iterator[tuple[str, str]]:
    for mirror, target, pattern in mirrors:
        if pattern == name:
            yield mirror, target
    for mirror, target, pattern in mirrors:
        if _matches(pattern, name, url):
            yield mirror, target


def _matches(pattern: str, name: str, url: str) -> bool:
    """Return whether a `mirrorOf` text, such as `external:*,!central`, means this repository."""
    parts = [part.strip() for part in pattern.split(",")]
    if f"!{name}" in parts:
        return False
    external = urlsplit(url).hostname not in {"localhost", "127.0.0.1"} and not url.startswith("file:")
    wildcards = {"*": True, "external:*": external, "external:http:*": external and url.startswith("http:")}
    return any(part == name or wildcards.get(part, False) for part in parts)


def _with_login(url: str, user: str, password: str) -> str:
    """Put credentials into the URL, where the HTTP client looks for them; encrypted ones cannot be used."""
    parts = urlsplit(url)
    if not user or password.startswith("{") or parts.username:
        return url
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
    return urlunsplit(parts._replace(netloc=netloc))


def _all(root: ET.Element, tag: str) -> list[ET.Element]:
    return root.findall(f".//{{*}}{tag}")


def _text(node: ET.Element, tag: str) -> str:
    return (node.findtext(f"{{*}}{tag}") or "").strip()
