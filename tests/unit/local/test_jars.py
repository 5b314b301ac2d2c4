"""Jars come from the repository that is configured, are checked, and say in one line when they cannot be had."""

from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.local import jars
from streams.local.errors import DownloadError
from streams.local.jars import KAFKA_VERSION, Jar, install, pinned

CONTENT = b"what a jar holds" * 100


def jar(content: bytes = CONTENT, name: str = "tool") -> Jar:
    return Jar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder and keeps quiet about it."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Print nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a Maven repository on loopback, to which the user's settings.xml sends us."""
    root = tmp_path / "repository"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    url = f"http://127.0.0.1:{server.server_port}"
    mirror = f"<mirror><id>m</id><url>{url}</url><mirrorOf>*</mirrorOf></mirror>"
    file = tmp_path / "settings.xml"
    file.write_text(f'<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">{mirror}</settings>', "utf-8")
    monkeypatch.setattr(jars, "settings_file", lambda: file)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield root
    server.shutdown()
    thread.join()
    server.server_close()


def publish(root: Path, name: str, content: bytes) -> None:
    folder = root / "org" / "example" / name / "1.0"
    folder.mkdir(parents=True)
    (folder / f"{name}-1.0.jar").write_bytes(content)


def test_the_pinned_list_is_one_kafka_and_complete() -> None:
    found = pinned()
    assert len(found) == 46
    assert {entry.version for entry in found if entry.group == "org.apache.kafka"} == {KAFKA_VERSION}
    assert len({entry.file for entry in found}) == len(found)


def test_a_missing_jar_comes_from_the_users_mirror(repository: Path, tmp_path: Path) -> None:
    publish(repository, "tool", CONTENT)
    folder = tmp_path / "cache"
    assert [path.read_bytes() for path in install(folder, [jar()])] == [CONTENT]
    assert [path.name for path in folder.iterdir()] == ["tool-1.0.jar"]


def test_a_jar_that_is_there_needs_no_repository(tmp_path: Path) -> None:
    (tmp_path / "tool-1.0.jar").write_bytes(CONTENT)
    assert install(tmp_path, [jar()]) == [tmp_path / "tool-1.0.jar"]


def test_a_damaged_jar_is_fetched_again(repository: Path, tmp_path: Path) -> None:
    publish(repository, "tool", CONTENT)
    (tmp_path / "tool-1.0.jar").write_bytes(CONTENT[::-1])
    assert [path.read_bytes() for path in install(tmp_path, [jar()])] == [CONTENT]


def test_a_jar_with_another_checksum_is_refused(repository: Path, tmp_path: Path) -> None:
    publish(repository, "tool", CONTENT[::-1])
    with pytest.raises(DownloadError, match=r"wrong checksum.*STREAMS_KAFKA_BOOTSTRAP_SERVERS"):
        install(tmp_path / "cache", [jar()])
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # jgo leaves a refused answer open
def test_a_jar_that_cannot_be_had_is_one_line_with_the_way_out(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="STREAMS_KAFKA_BOOTSTRAP_SERVERS") as caught:
        install(tmp_path / "cache", [jar(name="absent")])
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()  # here, where the warning about that is expected


def test_an_unreachable_repository_is_one_line_with_the_way_out(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "away.xml"
    file.write_text(
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirror><id>m</id>'
        "<url>http://127.0.0.1:1</url><mirrorOf>*</mirrorOf></mirror></settings>",
        "utf-8",
    )
    monkeypatch.setattr(jars, "settings_file", lambda: file)
    with pytest.raises(DownloadError, match=r"tool-1.0.jar.*STREAMS_KAFKA_BOOTSTRAP_SERVERS") as caught:
        install(tmp_path / "cache", [jar()])
    assert "\n" not in str(caught.value)
