"""Logging of our processes: one line an entry, for people or for machines, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Final

import orjson

from streams.clock import from_ms

if TYPE_CHECKING:
    from streams.settings import Settings

_SECRET: Final = re.compile(
    r"(?i)(authorization|x-[a-z0-9-]*signature[a-z0-9-]*|api[_-]?key|token|password|secret)(\"?'?\s*[=:]\s*\"?'?)"
    r"(?:bearer\s+|basic\s+)?[^\s\"',;&}]+"
)
_DSN: Final = re.compile(r"([a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@", re.IGNORECASE)
MASK: Final = "********"


def redact(text: str) -> str:
    """Return `text` with the values of what looks like credentials masked."""
    return _DSN.sub(rf"\1:{MASK}@", _SECRET.sub(rf"\1\2{MASK}", text))


class _Text(logging.Formatter):
    """Lines for people; `streams dev` puts process and colour in front."""

    def format(self, record: logging.LogRecord) -> str:
        moment = from_ms(int(record.created * 1000)).strftime("%H:%M:%S.%f")[:-3]
        level = "" if record.levelno == logging.INFO else f" {record.levelname.lower()}"
        return redact(f"{moment}{level} {super().format(record)}")


class _Json(logging.Formatter):
    """Lines for machines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": from_ms(int(record.created * 1000)).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


def configure(settings: Settings) -> None:
    """Set up the root logger of this process; libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text("%(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("streams").setLevel(settings.log_level)
