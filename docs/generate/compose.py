"""The lines of the compose file that pass settings on to the containers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from streams.settings import Settings

FILE: Final = Path(__file__).resolve().parents[2] / "docker-compose.yml"
BEGIN: Final = "  # Generated from the settings by `python -m docs.generate`: begin\n"
END: Final = "  # Generated from the settings: end\n"
FIXED: Final = frozenset(
    {
        "kafka_bootstrap_servers", "partitions", "cluster_secret", "log_format",  # have a value of their own here
        "state_dir", "cache_dir",  # the image's own folders
        "slot", "worker_url",  # each container has a slot and a name of its own
        "pool",  # a pool is another service
        "workers", "llm_gguf", "api_key",  # of `streams dev` and the command line
        "worker_host", "worker_port", "gateway_host", "gateway_port", "api_keys",  # of one service
    }
)  # fmt: skip
KAFKA_SECURITY: Final = "kafka_s"
"""The broker of the compose file has no authentication: settings that begin so are not passed on."""


def compose() -> str:
    """Return the whole compose file."""
    before, _, rest = FILE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "".join(map(_line, _names())) + END + after


def _names() -> list[str]:
    return [name for name in Settings.model_fields if name not in FIXED and not name.startswith(KAFKA_SECURITY)]


def _line(name: str) -> str:
    variable = f"STREAMS_{name.upper()}"
    return f"  {variable}: ${{{variable}:-}}\n"
