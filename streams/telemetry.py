"""Logging of our processes: one line an entry, for people or for machines, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final

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


_NAMES: Final = re.compile(r"(?i)authorization|signature|api[_-]?key|(^|[_-])token$|password|passwd|secret|cookie")


def redact_json(value: Any) -> Any:
    """Return JSON data with the values of what is named like a credential, and credentials in texts, masked."""
    if isinstance(value, dict):
        return {
            name: MASK if _NAMES.search(str(name)) and item is not None else redact_json(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [redact_json(item) for item in value]
    return redact(value) if isinstance(value, str) else value


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
