"""A real language model inside the machine, served as OpenAI's API, so that the pipeline thinks without any account.

Run as `python -m streams.local.llm FILE PORT`: llama.cpp in a process of its own, which may crash alone.

llama.cpp does not check the Host header, so a web page whose name is rebound to loopback would reach it. A server
that is started with an `Address` therefore answers below a secret path only. The path is a part of the base URL.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.choices import is_loopback
from streams.clock import monotonic
from streams.local.errors import LocalError
from streams.local.gguf import install_model
from streams.local.models import find, folder_of
from streams.local.ports import LOOPBACK

if TYPE_CHECKING:
    from types import FrameType

CONTEXT = 8192  # tokens, shared by the slots: what the small model was trained for
SLOTS = 2  # answers at a time; more only share the same cores
FREQUENCY_PENALTY = 0.5  # without it so small a model repeats one sentence to the end of its tokens
QUIET = 1  # llama.cpp's level for errors only
CHECK_TIMEOUT = 60.0  # seconds
PATH_VARIABLE = "STREAMS_LOCAL_MODEL_PATH"  # an environment is private, a command line is not


def model_file(chosen: Path | None, cache_dir: Path) -> Path:
    """Return the file that `chosen` means: a path, or the name of a model in the cache; unset, the small model.

    The small one is fetched if needed. LocalError if there is none.
    """
    folder = folder_of(cache_dir)
    if chosen is None:
        return install_model(folder)
    found = find(chosen, folder)
    if found is None:
        message = (
            f"There is no model {chosen}: `streams llm list` tells what is here; "
            "correct STREAMS_LLM_GGUF, or unset it for the small one."
        )
        raise LocalError(message)
    return found


def command(file: Path, port: int) -> list[str]:
    """Return the command line that serves `file` on a loopback `port`."""
    return [sys.executable, "-m", "streams.local.llm", str(file), str(port)]


def base_url(port: int, path: str = "") -> str:
    """Return what OpenAI clients call the base URL."""
    return f"http://{LOOPBACK}:{port}{path}/v1"


@dataclass(frozen=True, slots=True)
class Address:
    """The loopback port and the secret path at which one server answers."""

    port: int
    path: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(16)}", repr=False)

    @property
    def base_url(self) -> str:
        """What OpenAI clients call the base URL; it holds the secret path."""
        return base_url(self.port, self.path)

    @property
    def health_url(self) -> str:
        """The URL that answers 200 once the model is loaded."""
        return f"http://{LOOPBACK}:{self.port}{self.path}/health"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server's process, which hands it the path."""
        return {**os.environ, PATH_VARIABLE: self.path}  # noqa: TID251 - passed on, not read


def post_chat(url: str, body: dict[str, Any], key: str | None, timeout: float) -> dict[str, Any]:
    """Return the answer of the chat endpoint below `url`; raises OSError or ValueError."""
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    request = urllib.request.Request(  # noqa: S310 - the URL of our own settings
        f"{url}/chat/completions", json.dumps(body).encode(), headers
    )
    with opener(url).open(request, timeout=timeout) as response:
        answer: dict[str, Any] = json.loads(response.read())
    return answer


def check(url: str, model: str, key: str | None = None) -> float:
    """Ask `model` at the base `url` for JSON of a given schema; return the seconds that it took.

    Raises LocalError when it does not answer, or not in that form.
    """
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Answer with ok = true."}],
        "max_tokens": 20,
        "response_format": {"type": "json_schema", "json_schema": {"name": "check", "schema": schema, "strict": True}},
    }
    begun = monotonic()
    try:
        answer = post_chat(url, body, key, CHECK_TIMEOUT)
        reply = json.loads(answer["choices"][0]["message"]["content"])
    except (OSError, ValueError, LookupError) as error:
        message = f"The model at {url} does not answer as it should ({type(error).__name__}: {error})."
        raise LocalError(message) from error
    if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
        message = f"The model at {url} ignores response_format: use a server that supports JSON schemas."
        raise LocalError(message)
    return monotonic() - begun


def opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens URLs by the environment's proxies, but by none for what is served on this machine."""
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_loopback(url) else []))


def serve(file: Path, port: int) -> None:
    """Serve the model in `file` until SIGTERM or SIGINT."""
    from xllamacpp import CommonParams, Server  # noqa: PLC0415 - part of the extra `local`

    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    params = CommonParams()
    params.model.path = str(file)
    params.model_alias = {file.stem}
    params.hostnames = [LOOPBACK]
    params.port = port
    params.n_ctx = CONTEXT
    params.n_parallel = SLOTS
    params.verbosity = QUIET
    params.fit_params = False  # nothing to fit: a model this small runs anywhere
    params.warmup = False
    params.sampling.penalty_freq = FREQUENCY_PENALTY
    params.ui = False
    params.api_prefix = os.environ.get(PATH_VARIABLE, "")  # noqa: TID251 - of this process alone, no setting
    params.cors_origins = base_url(port).removesuffix("/v1")  # pages of other sites read nothing here
    params.cors_credentials = False
    server = Server(params)
    print(f"{file.stem} answers at {server.listening_address}/v1", flush=True)  # noqa: T201 - this process's log
    stopped.wait()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
