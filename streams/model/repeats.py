"""Keeps each message of a conversation once on the log: a call that repeats messages of an earlier one refers to it.

A model has no memory, so every round of a conversation sends all rounds before it: recorded as they are, N rounds would
take bytes that grow with the square of N. A request is therefore recorded as what it adds to an earlier request of its
run, which is named by its hash. What is remembered of a request to know that is digests, not texts.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BLOCK: Final = 1_000  # characters of a message that one digest stands for
REMEMBERED: Final = 8  # requests of a run: those of branches that go on side by side
AS: Final = "as"  # the field of a request's first message that refers to an earlier request


class _MessageDigest(NamedTuple):
    """A message by its digests: of all of it, and of each whole block of its text."""

    whole: bytes
    role: str
    blocks: tuple[bytes, ...]


class Repeats:
    """What one run has asked so far; to be forgotten with whatever may not have reached the log."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self._asked: deque[tuple[str, tuple[_MessageDigest, ...]]] = deque(maxlen=REMEMBERED)

    def shortened(self, call: str, request: Any) -> Any:
        """Return the request of the call with this hash, with what the log has of it replaced by a reference.

        The reference is the first of the messages: `{"as": hash, "messages": n}` stands for the first n messages of
        that call's request. With `"characters": [from, to]` the next message has these characters of the one after them
        in its text, at the same place.
        """
        messages = request.get("messages") if isinstance(request, dict) else None
        if not messages:
            return request
        digests = tuple(_message_digest(message) for message in messages)
        known = [(name, *_shared(before, digests)) for name, before in self._asked if name != call]
        self._asked.append((call, digests))
        name, count, begin, end = max(known, key=lambda one: (one[1], one[3] - one[2]), default=("", 0, 0, 0))
        if begin == end and sum(len(str(message.get("content"))) for message in messages[:count]) < BLOCK:
            return request  # a reference would be as long as what it stands for
        rest = list(messages[count:])
        reference: dict[str, Any] = {AS: name, "messages": count}
        if begin < end:
            text = rest[0]["content"]
            reference["characters"] = [begin * BLOCK, end * BLOCK]
            rest[0] = {**rest[0], "content": text[: begin * BLOCK] + text[end * BLOCK :]}
        return {**request, "messages": [reference, *rest]}


def restored(request: Any, find: Callable[[str], Any]) -> Any:
    """Return a recorded request as it was sent; `find` gives the recorded request of a hash.

    Raises LookupError (of `find`) when the log no longer has one of those that it builds upon.
    """
    messages = list((request or {}).get("messages") or ()) if isinstance(request, dict) else []
    if not messages or AS not in messages[0]:
        return request
    waiting: list[tuple[Mapping[str, Any], Sequence[Any]]] = []
    seen: set[str] = set()
    while AS in messages[0]:
        if messages[0][AS] in seen:  # equal questions of branches side by side, found in another order
            raise LookupError(messages[0][AS])
        seen.add(messages[0][AS])
        waiting.append((messages[0], messages[1:]))
        messages = list(find(messages[0][AS])["messages"])
    while waiting:
        reference, rest = waiting.pop()
        count, added = reference["messages"], list(rest)
        if "characters" in reference:
            begin, end = reference["characters"]
            new, old = added[0]["content"], messages[count]["content"]
            added[0] = {**added[0], "content": new[:begin] + old[begin:end] + new[begin:]}
        messages = [*messages[:count], *added]
    return {**request, "messages": messages}


def _message_digest(message: Mapping[str, Any]) -> _MessageDigest:
    text = message.get("content")
    blocks: tuple[bytes, ...] = ()
    if isinstance(text, str) and message.keys() == {"role", "content"}:
        ends = range(BLOCK, len(text) + 1, BLOCK)
        blocks = tuple(_digest(text[end - BLOCK : end].encode(errors="surrogatepass")) for end in ends)
    return _MessageDigest(_digest(orjson.dumps(message, option=orjson.OPT_SORT_KEYS)), str(message.get("role")), blocks)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _shared(before: Sequence[_MessageDigest], now: Sequence[_MessageDigest]) -> tuple[int, int, int]:
    """Return how many messages two requests begin with in common, and which blocks of the one after, from and to.

    The first block may differ: data that grew stands behind a mark that is a digest of all of it.
    """
    count, most = 0, min(len(before), len(now))
    while count < most and before[count].whole == now[count].whole:
        count += 1
    if count == most or before[count].role != now[count].role:
        return count, 0, 0
    old, new = before[count].blocks, now[count].blocks
    begin = int(old[:1] != new[:1])
    end = begin
    while end < min(len(old), len(new)) and old[end] == new[end]:
        end += 1
    return count, begin, end
