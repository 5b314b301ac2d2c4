"""The ahead-of-time cache is trained once, found by all, and given up when it does harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.local.aot import AotCache
from streams.local.java import Java

MODERN = Java(Path("java"), 25, 'JAVA_VERSION="25.0.2"')


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """Return a class path of one jar."""
    path = tmp_path / "a.jar"
    path.write_bytes(b"")
    return path


def test_a_first_run_writes_what_the_next_one_uses(tmp_path: Path, jar: Path) -> None:
    first = AotCache(tmp_path, MODERN, [jar], [])
    (option,) = first.options(tmp_path)
    assert option == f"-XX:AOTCacheOutput={tmp_path / 'training.aot'}"
    assert first.training
    (tmp_path / "training.aot").write_bytes(b"cache")
    first.keep()
    assert not first.training
    (found,) = AotCache(tmp_path, MODERN, [jar], []).options(tmp_path)
    assert Path(found.removeprefix("-XX:AOTCache=")).read_bytes() == b"cache"


def test_a_run_that_was_killed_leaves_no_cache(tmp_path: Path, jar: Path) -> None:
    cache = AotCache(tmp_path, MODERN, [jar], [])
    cache.options(tmp_path)
    cache.keep()
    assert list(tmp_path.glob("*.aot")) == []


def test_another_java_or_other_flags_have_a_cache_of_their_own(tmp_path: Path, jar: Path) -> None:
    first = AotCache(tmp_path, MODERN, [jar], [])
    first.options(tmp_path)
    (tmp_path / "training.aot").write_bytes(b"cache")
    first.keep()
    newer = Java(Path("java"), 26, 'JAVA_VERSION="26"')
    assert AotCache(tmp_path, newer, [jar], []).options(tmp_path)[0].startswith("-XX:AOTCacheOutput=")
    assert AotCache(tmp_path, MODERN, [jar], ["-Xmx1g"]).options(tmp_path)[0].startswith("-XX:AOTCacheOutput=")


def test_an_older_java_goes_without(tmp_path: Path, jar: Path) -> None:
    cache = AotCache(tmp_path, Java(Path("java"), 17, "17"), [jar], [])
    assert cache.options(tmp_path) == []
    assert not cache.drop()


def test_a_cache_that_does_harm_is_removed_and_not_used_again(tmp_path: Path, jar: Path) -> None:
    cache = AotCache(tmp_path, MODERN, [jar], [])
    cache.options(tmp_path)
    assert not cache.drop()
    cache = AotCache(tmp_path, MODERN, [jar], [])
    cache.options(tmp_path)
    (tmp_path / "training.aot").write_bytes(b"cache")
    cache.keep()
    cache.options(tmp_path)
    assert cache.drop()
    assert cache.options(tmp_path) == []
    assert not cache.drop()
