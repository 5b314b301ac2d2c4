"""The cluster secret: set, or one file of this user; a worker that others reach does not start without."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.query.cluster import (
    FILE,
    ClusterSecretError,
    authorization,
    check_worker,
    cluster_secret,
    is_authorized,
    secured,
)
from streams.settings import Settings, SettingsError, child_environment, describe, load

SECRET = "0123456789abcdef"


def test_a_secret_that_is_set_is_the_secret_and_no_file_is_made(tmp_path: Path) -> None:
    assert cluster_secret(Settings(cache_dir=tmp_path, cluster_secret=SecretStr(SECRET))) == SECRET
    assert list(tmp_path.iterdir()) == []


def test_processes_of_one_user_that_start_at_once_share_one_file_that_nobody_else_reads(tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path / "new")
    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(lambda _: cluster_secret(settings), range(64)))
    assert len(found) == 1
    assert len(found.pop()) >= 32
    assert [file.name for file in settings.cache_dir.iterdir()] == [FILE]
    assert (settings.cache_dir / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("text", "mode"), [("s" * 32, 0o644), ("short", 0o600), ("", 0o600), ("\udce9" * 32, 0o600)])
def test_a_file_that_others_read_or_that_holds_too_little_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    file = tmp_path / FILE
    file.write_text(text, "utf-8", errors="surrogateescape")
    file.chmod(mode)
    with pytest.raises(ClusterSecretError, match="STREAMS_CLUSTER_SECRET"):
        cluster_secret(Settings(cache_dir=tmp_path))


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterSecretError, match="STREAMS_CLUSTER_SECRET"):
        cluster_secret(Settings(cache_dir=tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", None),
        ("::", None),
        ("10.0.0.7", None),
        ("worker-0", None),
        ("127.0.0.1", "http://worker-0:8100"),
        ("127.0.0.1", "http://localhost.example.org:8100"),
        ("0.0.0.0", "http://127.0.0.1:8100"),
    ],
)
def test_a_worker_that_others_reach_does_not_start_without_a_secret(host: str, url: str | None) -> None:
    with pytest.raises(ClusterSecretError, match="STREAMS_CLUSTER_SECRET") as caught:
        check_worker(Settings(worker_host=host, worker_url=url))
    assert "\n" not in str(caught.value)
    check_worker(Settings(worker_host=host, worker_url=url, cluster_secret=SecretStr(SECRET)))


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:8100", "http://[::1]:8100", "http://localhost:1"])
def test_a_worker_on_loopback_needs_none(url: str | None) -> None:
    check_worker(Settings(worker_url=url))


@pytest.mark.parametrize("secret", ["", " ", "short"])
def test_a_short_secret_is_refused(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_CLUSTER_SECRET", secret)
    if not secret:  # as if it were not set, as compose passes what is not
        assert load().cluster_secret is None
        return
    with pytest.raises(SettingsError, match="STREAMS_CLUSTER_SECRET"):
        load()


def test_child_processes_get_the_secret_and_it_is_shown_to_nobody(tmp_path: Path) -> None:
    settings = secured(Settings(cache_dir=tmp_path))
    secret = cluster_secret(settings)
    assert child_environment(settings)["STREAMS_CLUSTER_SECRET"] == secret
    assert secret not in repr(settings)
    assert secret not in repr(describe(settings))
    assert secured(settings) is settings


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", SECRET, f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer é"]
)
def test_only_the_secret_itself_is_accepted(header: str) -> None:
    assert not is_authorized(header.encode("latin-1"), SECRET)
    assert is_authorized(authorization(SECRET).encode(), SECRET)


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(cache_dir=tmp_path)
    cluster_secret(settings)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ClusterSecretError):
        cluster_secret(settings)
