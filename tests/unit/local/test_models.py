"""Bringing a model here from loopback and from disk: whole and checked, or the folder stays as it was."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.commands.llm import app
from streams.local.errors import DownloadError, LocalError
from streams.local.gguf import FILE, SHA256
from streams.local.llm import model_file
from streams.local.models import find, models, pull, verify
from streams.local.trial import trial

BODY = b"GGUF" + bytes(range(256)) * 5_000
SUM = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves models by path, and answers as a model does."""

    def do_GET(self) -> None:
        body = {"/m.gguf": BODY, "/short.gguf": BODY, "/page.gguf": b"<html>log in</html>"}.get(
            self.path.partition("?")[0]
        )
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (1_000 if "short" in self.path else 0)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        keeps = self.headers["Authorization"] != "Bearer ignores-schemas"
        content = '{"ok": true}' if "response_format" in asked and keeps else "The sea is wide."
        answer = {"choices": [{"message": {"content": content}}], "usage": {"completion_tokens": 5}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMS_CACHE_DIR", str(tmp_path))
    return tmp_path / "models"


def test_a_url_becomes_a_checked_model(origin: str, folder: Path) -> None:
    model = pull(f"{origin}/m.gguf?token=x", folder, SUM.upper())
    assert (model.name, model.bytes, model.sha256) == ("m", len(BODY), SUM)
    assert model.path.read_bytes() == BODY
    assert (folder / "m.gguf.sha256").read_text() == f"{SUM}  m.gguf\n"
    assert models(folder) == [model]
    verify(model)


def test_a_path_is_copied_and_may_replace(tmp_path: Path, folder: Path) -> None:
    for body in (BODY, BODY + b"new"):
        (tmp_path / "own.gguf").write_bytes(body)
        pull(str(tmp_path / "own.gguf"), folder)
    assert [model.bytes for model in models(folder)] == [len(BODY) + 3]


@pytest.mark.parametrize(
    ("path", "sha256", "words"),
    [
        ("/m.gguf", "0" * 64, "not what you expect"),
        ("/short.gguf", None, "ended after|Cannot download"),
        ("/page.gguf", None, "no GGUF file"),
        ("/gone.gguf", None, "Cannot download"),
        ("/m.bin", None, "does not name"),
    ],
)
def test_what_is_not_whole_or_not_it_leaves_the_folder_as_it_was(
    origin: str, folder: Path, path: str, sha256: str | None, words: str
) -> None:
    with pytest.raises(DownloadError, match=words):
        pull(f"{origin}{path}", folder, sha256)
    assert not folder.is_dir() or list(folder.iterdir()) == []


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(DownloadError, match="Cannot read"):
        pull("/nowhere/x.gguf", folder)


def test_a_damaged_model_is_found_out(origin: str, folder: Path) -> None:
    model = pull(f"{origin}/m.gguf", folder)
    model.path.write_bytes(BODY[:-1])
    with pytest.raises(LocalError, match="damaged"):
        verify(models(folder)[0])


def test_a_model_is_meant_by_name_file_or_path(origin: str, folder: Path) -> None:
    path = pull(f"{origin}/m.gguf", folder).path
    assert find("m", folder) == find("m.gguf", folder) == find(str(path), folder) == path
    assert find("n", folder) is None
    assert find("../models/m", folder) is None
    assert model_file(Path("m"), folder.parent) == path
    with pytest.raises(LocalError, match="llm list"):
        model_file(Path("n"), folder.parent)


def test_the_small_one_has_its_known_checksum(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(b"GGUF damaged")
    assert models(folder)[0].sha256 == SHA256
    with pytest.raises(LocalError, match="damaged"):
        verify(models(folder)[0])


def test_the_commands_pull_and_list(origin: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    assert "`streams llm pull` brings" in run.invoke(app, ["list"]).output
    pulled = run.invoke(app, ["pull", f"{origin}/m.gguf", "--sha256", SUM])
    assert pulled.exit_code == 0, pulled.output
    assert "STREAMS_LLM_GGUF=m" in pulled.output
    monkeypatch.setenv("STREAMS_LLM_GGUF", "m")
    (listed,) = json.loads(run.invoke(app, ["list", "-o", "json"]).output)
    assert (listed["name"], listed["bytes"], listed["sha256"], listed["used"]) == ("m", len(BODY), SUM, True)


def test_a_trial_tells_speed_and_whether_a_schema_is_kept(origin: str) -> None:
    found = trial(f"{origin}/v1", "any")
    assert (found.text, found.tokens) == ("The sea is wide.", 5)
    assert found.tokens_per_second > 0
    with pytest.raises(LocalError, match=r"ignores response_format|does not answer"):
        trial(f"{origin}/v1", "any", "ignores-schemas")


def test_the_command_tries_the_endpoint_of_the_settings(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_LLM_BASE_URL", f"{origin}/v1")
    tried = CliRunner().invoke(app, ["test", "-o", "json"])
    assert tried.exit_code == 0, tried.output
    assert json.loads(tried.output)["schema"] == "kept"
