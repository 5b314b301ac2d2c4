"""Logging of our processes: one line an entry, for people or for machines, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

import orjson
from pydantic import BaseModel, SecretStr

from streams.clock import from_ms
from streams.printable import block, one_line

if TYPE_CHECKING:
    from streams.settings import Settings

# Whatever is written passes here, so the time that these take must not grow faster than the text: no part of them may
# run along it from each of its places (a name before `://` would, and one letter in front of so many others).
_SECRET: Final = re.compile(
    r"(?i)(?<!missing[_ -])(?<!empty[_ -])(?<!unset[_ -])(?<!without[_ -])"  # what is not there is followed by no value
    r"(authorization|x-[a-z0-9-]{0,60}signature[a-z0-9-]{0,60}|api[_-]?key|token|password|secret)"
    r"(\"?'?\s{0,9}[=:]\s{0,9}\"?'?)"
    r"(?:bearer\s+|basic\s+)?[^\s\"',;&}]+"
)
_DSN: Final = re.compile(r"(://[^\s:/@]*):[^\s@/]+@")
MASK: Final = "********"


_SHORTEST: Final = 8  # characters: a shorter secret is a word that others use as well
_LONGEST_NAME: Final = 64  # characters: what was found out about longer names is not stored
_NEVER: Final = re.compile(r"(?!)")


class _Known:
    """The secrets of this process's settings, as one expression."""

    pattern: re.Pattern[str] = _NEVER


def keep_secret(secrets: Iterable[str]) -> None:
    """Mask these texts from now on, as they are and as URLs quote them, wherever this process writes."""
    forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in (secret, quote(secret, safe=""))}
    longest = sorted(forms, key=len, reverse=True)
    _Known.pattern = re.compile("|".join(map(re.escape, longest))) if longest else _NEVER
    _shown_name.cache_clear()


def conceal(value: Any) -> Any:
    """Return JSON data with the secrets of the settings masked, and everything else as it is."""
    return value if _Known.pattern is _NEVER else _mapped(value, _concealed, lambda name: (_concealed(name), False))


def redact(text: str) -> str:
    """Return `text` with the secrets of the settings, and values of what looks like credentials, masked."""
    if _Known.pattern is not _NEVER:
        text = _Known.pattern.sub(MASK, text)
    if "=" in text or ":" in text:  # without one of them there is no value to mask, and most texts are looked at whole
        text = _SECRET.sub(rf"\1\2{MASK}", text)
    return _DSN.sub(rf"\1:{MASK}@", text) if "://" in text else text


_NAMES: Final = re.compile(r"(?i)authorization|signature|api[_-]?key|(^|[_-])token$|password|passwd|secret|cookie")


def redact_json(value: Any) -> Any:
    """Return JSON data with the values of what is named like a credential, and credentials in texts, masked."""
    return _mapped(value, redact, lambda name: _shown_name(name) if len(name) <= _LONGEST_NAME else _looked_at(name))


def _concealed(text: str) -> str:
    return _Known.pattern.sub(MASK, text)


def _looked_at(name: str) -> tuple[str, bool]:
    """Return a name as it may be shown, and whether its value is masked."""
    return redact(name), _NAMES.search(name) is not None


_shown_name = lru_cache(maxsize=4096)(_looked_at)  # the same names come again and again


def _mapped(value: Any, change: Callable[[str], str], named: Callable[[str], tuple[str, bool]]) -> Any:
    kind = type(value)
    if kind is str:
        return change(value)
    if kind is int or kind is float or kind is bool or value is None:
        return value
    if isinstance(value, dict):
        shown = {}
        for name, item in value.items():
            to, masked = named(name) if isinstance(name, str) else (name, named(str(name))[1])
            shown[to] = MASK if masked and item is not None else _mapped(item, change, named)
        return shown
    if isinstance(value, list):
        return [_mapped(item, change, named) for item in value]
    return change(value) if isinstance(value, str) else value


def _secrets(value: Any) -> Iterator[str]:
    """Yield each secret in a setting."""
    if isinstance(value, SecretStr):
        yield from _parts(value.get_secret_value())
        return
    if isinstance(value, BaseModel):
        value = vars(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    for item in inside:
        yield from _secrets(item)


def _parts(secret: str) -> Iterator[str]:
    """Yield a secret, and of one that is a URL its password as well."""
    yield secret
    password = urlsplit(secret).password if "://" in secret else None
    if password:
        yield password
        yield unquote(password)


# Loggers of the libraries that pyproject.toml names and of those that come with them.
_LIBRARIES: Final = (
    "aiohttp", "asyncio", "charset_normalizer", "concurrent", "confluent_kafka", "courlan", "cronsim", "faust",
    "hpack", "htmldate", "httpcore", "httpcore2", "httpx", "httpx2", "jgo", "justext", "lxml", "mode", "openai",
    "prometheus_client", "psycopg", "rocksdict", "sqlglot", "trafilatura", "urllib3", "uvicorn",
)  # fmt: skip


class _Text(logging.Formatter):
    """Lines for people; `streams dev` puts process and colour in front."""

    def format(self, record: logging.LogRecord) -> str:
        moment = from_ms(int(record.created * 1000)).strftime("%H:%M:%S.%f")[:-3]
        level = "" if record.levelno == logging.INFO else f" {record.levelname.lower()}"
        line = one_line(redact(f"{moment}{level} {record.getMessage()}"))
        if not record.exc_info:
            return line
        traceback = block(redact(self.formatException(record.exc_info)))
        return "\n    ".join([line, *traceback.split("\n")])


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


def keep_secrets_of(settings: Settings) -> None:
    """Mask the secrets of the settings from now on, wherever this process writes."""
    keep_secret(_secrets(settings))


def configure(settings: Settings) -> None:
    """Set up the root logger of this process: whatever a user's code logs is shown from `log_level` on.

    The libraries that this product brings are shown from WARNING on. Secrets of the settings are masked in every line.
    """
    keep_secrets_of(settings)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text("%(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
