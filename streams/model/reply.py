"""Reads what an OpenAI-compatible endpoint answers, in all the forms in which such endpoints do."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import orjson

from streams.model.chat import ToolCall, Usage

SHOWN = 300  # characters of an endpoint's words that an error repeats


class ReplyProblem(NamedTuple):
    """An error that came as the body of an answer: the status that it stands for, 0 if unknown, and its words."""

    status: int
    words: str


def parsed(content: bytes) -> Any:
    """Return JSON; ValueError if it is none.

    Half of a surrogate pair as an escape, which a cut emoji leaves behind, is U+FFFD, and so are bytes that are no
    UTF-8: both are refused by the fast parser, which is asked first.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            return _mended(json.loads(content.decode(errors="replace")))
        except (ValueError, RecursionError):
            raise error from None


def whole(text: str) -> str:
    """Return a text whose surrogates are pairs, each made one character, with U+FFFD for a half."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {whole(name): _mended(item) for name, item in value.items()}
    return value


def problem_of(reply: Any) -> ReplyProblem | None:
    """Return the error that stands in the place of an answer, whatever the HTTP status was; None if there is none."""
    error = reply.get("error") if isinstance(reply, dict) and not reply.get("choices") else None
    if not error:
        return None
    if not isinstance(error, dict):
        return ReplyProblem(0, _words(error))
    code = error.get("code", error.get("status"))
    status = int(str(code)) if str(code).isascii() and str(code).isdigit() and len(str(code)) == 3 else 0
    if "rate_limit" in str(code) or "rate_limit" in str(error.get("type")):
        status = 429
    return ReplyProblem(status, _words(error.get("message") or error))


def _words(value: Any) -> str:
    return " ".join(str(value).split())[:SHOWN]


def text_of(content: Any) -> str:
    """Return the text of a message's `content`: a text, or a list of parts of which some have one."""
    if isinstance(content, str):
        return whole(content)
    if not isinstance(content, list):
        return ""
    parts = (part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict))
    return whole("".join(part for part in parts if isinstance(part, str)))


def refusal_of(message: dict[str, Any]) -> str:
    """Return the words in which a model refuses; empty if it does not."""
    found = message.get("refusal")
    if not found and isinstance(message.get("content"), list):
        found = next(
            (part["refusal"] for part in message["content"] if isinstance(part, dict) and "refusal" in part), ""
        )
    return whole(found) if isinstance(found, str) else ""


def calls_of(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    """Return the tool calls of a message; LookupError, TypeError or AttributeError for what is none."""
    return tuple(
        ToolCall(str(call["id"]), whole(str(call["function"]["name"])), whole(str(call["function"]["arguments"])))
        for call in message.get("tool_calls") or ()
    )


def usage_of(reply: Any) -> Usage:
    """Return the tokens that an answer names; what is no number counts as none."""
    usage = _mapping(reply.get("usage"))
    details = _mapping(usage.get("prompt_tokens_details"))
    return Usage(
        _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(details.get("cached_tokens"))
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    known = isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 2**53
    return int(value) if known else 0


class Deltas:
    """Puts the pieces of a streamed answer together to what an unstreamed one would have been."""

    def __init__(self, model: str) -> None:
        self._reply: dict[str, Any] = {"usage": {}, "model": model, "finish": "stop"}
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._half: list[str] = []  # the first half of a pair whose second comes with the next piece

    def add(self, chunk: Any) -> str:
        """Take in one event and return the text that it adds."""
        if not isinstance(chunk, dict):
            return ""
        for name in ("model", "usage"):
            self._reply[name] = chunk.get(name) or self._reply[name]
        added = []
        for choice in chunk.get("choices") or ():
            self._reply["finish"] = choice.get("finish_reason") or self._reply["finish"]
            delta = choice.get("delta") or {}
            added.append(self._text(delta.get("content")))
            self._refusals.append(delta.get("refusal") or "")
            self._collect(delta.get("tool_calls") or ())
        return "".join(added)

    def reply(self) -> dict[str, Any]:
        """Return the whole answer."""
        message = {
            "content": "".join([*self._texts, *self._half]),
            "refusal": "".join(self._refusals),
            "tool_calls": [self._calls[index] for index in sorted(self._calls)],
        }
        choice = {"message": message, "finish_reason": self._reply["finish"]}
        return {"usage": self._reply["usage"], "model": self._reply["model"], "choices": [choice]}

    def _text(self, content: Any) -> str:
        piece = content if isinstance(content, str) else text_of(content)
        if not piece:
            return ""
        piece = "".join([*self._half, piece])
        self._half.clear()
        if "\ud800" <= piece[-1] <= "\udbff":
            self._half.append(piece[-1])
            piece = piece[:-1]
        piece = whole(piece)
        self._texts.append(piece)
        return piece

    def _collect(self, deltas: Any) -> None:
        for delta in deltas:
            call = self._calls.setdefault(delta.get("index", 0), {"id": "", "function": {"name": "", "arguments": ""}})
            call["id"] = delta.get("id") or call["id"]
            for field in ("name", "arguments"):
                call["function"][field] += (delta.get("function") or {}).get(field) or ""
