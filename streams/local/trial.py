"""Tries a model that is served: how fast it answers, and whether its answers match a schema."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from streams.clock import monotonic
from streams.local.errors import LocalError, StartError
from streams.local.llm import Address, check, command, post_chat
from streams.local.ports import free_ports

PROMPT = "Write two sentences about the sea."
TOKENS = 64
TIMEOUT_S = 300.0


class Trial(NamedTuple):
    """The answer of a model, its tokens and seconds, and the seconds that an answer by a schema took."""

    model: str
    text: str
    tokens: int
    seconds: float
    schema_seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer by its time, reading the prompt included."""
        return self.tokens / self.seconds if self.seconds else 0.0


def trial(url: str, model: str, key: str | None = None, prompt: str = PROMPT) -> Trial:
    """Ask a model at the base `url` for a text, then for JSON of a given schema; LocalError when it does not do so."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": TOKENS}
    begun = monotonic()
    try:
        answer = post_chat(url, body, key, TIMEOUT_S)
        text, tokens = answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"]
    except (OSError, ValueError, LookupError) as error:
        raise LocalError(f"The model at {url} does not answer ({type(error).__name__}: {error}).") from error
    seconds = monotonic() - begun
    return Trial(model, str(text or "").strip(), int(tokens), seconds, check(url, model, key))


@contextmanager
def serving(file: Path) -> Iterator[str]:
    """Serve a model file in a process of its own while the block lasts; give its base URL, or raise StartError."""
    (port,) = free_ports([0])
    address = Address(port)
    process = subprocess.Popen(
        command(file, port), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=address.environment
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if "answers at" not in line:
                raise StartError(
                    f"{file} cannot be served: is it a model that llama.cpp reads, and is there memory for it?"
                )
            yield address.base_url
        finally:
            process.terminate()
