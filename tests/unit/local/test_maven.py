"""A user's Maven settings are followed as Maven follows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.local.errors import DownloadError
from streams.local.maven import repositories

KNOWN = {"central": "https://central.example/maven2"}


def settings(tmp_path: Path, body: str) -> Path:
    file = tmp_path / "settings.xml"
    file.write_text(f'<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">{body}</settings>', "utf-8")
    return file


def mirror(name: str, of: str) -> str:
    return f"<mirror><id>{name}</id><url>https://{name}.example/repo/</url><mirrorOf>{of}</mirrorOf></mirror>"


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    assert repositories(KNOWN, tmp_path / "none.xml") == KNOWN


@pytest.mark.parametrize("of", ["*", "central", "external:*", "other,central", "*,!other"])
def test_a_mirror_takes_the_place_of_what_it_mirrors(tmp_path: Path, of: str) -> None:
    file = settings(tmp_path, f"<mirrors>{mirror('corp', of)}</mirrors>")
    assert repositories(KNOWN, file) == {"corp": "https://corp.example/repo"}


@pytest.mark.parametrize("of", ["other", "*,!central", "external:http:*"])
def test_a_mirror_of_something_else_does_not(tmp_path: Path, of: str) -> None:
    assert repositories(KNOWN, settings(tmp_path, f"<mirrors>{mirror('corp', of)}</mirrors>")) == KNOWN


def test_the_exact_id_wins_over_an_earlier_pattern(tmp_path: Path) -> None:
    file = settings(tmp_path, f"<mirrors>{mirror('all', '*')}{mirror('exact', 'central')}</mirrors>")
    assert list(repositories(KNOWN, file)) == ["exact"]


def test_a_local_repository_is_not_external(tmp_path: Path) -> None:
    known = {"here": "http://localhost:8081/repo"}
    assert repositories(known, settings(tmp_path, f"<mirrors>{mirror('corp', 'external:*')}</mirrors>")) == known


def test_the_credentials_of_a_mirror_go_into_its_url(tmp_path: Path) -> None:
    server = "<servers><server><id>corp</id><username>me</username><password>a/b@c</password></server></servers>"
    file = settings(tmp_path, f"<mirrors>{mirror('corp', '*')}</mirrors>{server}")
    assert repositories(KNOWN, file) == {"corp": "https://me:a%2Fb%40c@corp.example/repo"}


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.xml"
    file.write_text("<settings>", "utf-8")
    with pytest.raises(DownloadError, match="is not valid XML"):
        repositories(KNOWN, file)
