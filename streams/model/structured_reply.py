"""Turns the type that an agent wants into a schema for the model, and the model's text into a value of that type."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from streams.model.chat import ChatRequest, Message, Schema
from streams.model.errors import InvalidAnswerError
from streams.model.usable import require_usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.model.chat import ChatAnswer, ChatModel

FENCE = "```"
THOUGHT, THOUGHT_ENDS = "<think>", "</think>"  # in which reasoning models put drafts, before the answer
TRIED = 8  # places of an answer in which the value is looked for
NOISE = frozenset({"title", "default", "examples"})  # say nothing to a decoder; strict mode refuses them
UNENFORCED = frozenset({"minLength", "maxLength", "patternProperties", "uniqueItems"})  # strict mode refuses them
ENFORCED_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
UNCONSTRAINED = (str, Any, None)


class StructuredReply:
    """The type of an answer, with its schema; what is no object travels inside `{"value": …}`, as endpoints ask."""

    def __init__(self, returns: Any) -> None:
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(returns)
            schema = self.adapter.json_schema()
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise TypeError(
                f"returns={returns!r} is no type that pydantic can describe ({error}); use a pydantic model."
            ) from error
        self.wrapped = "properties" not in schema
        if self.wrapped:
            definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            schema = {"type": "object", "properties": {"value": schema}, "required": ["value"], **definitions}
        cleaned, strict = _strict(schema)
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", getattr(returns, "__name__", "answer"))[:64]
        self.schema = Schema(name, cleaned, strict)

    def read(self, text: str) -> Any:
        """Return the value in `text`, beside which there may be thoughts, prose and Markdown fences.

        ValidationError, of the place that comes first in `_places`, if none fits.
        """
        first: ValidationError | None = None
        for place in _places(text):
            try:
                return self._value(place)
            except ValidationError as error:
                first = first or error
        assert first is not None  # noqa: S101 - there is at least one place
        raise first

    def _value(self, text: str) -> Any:
        if not self.wrapped:
            return self.adapter.validate_json(text)
        envelope = TypeAdapter(dict[str, Any]).validate_json(text)
        return self.adapter.validate_python(envelope.get("value"), strict=False)


def _places(text: str) -> list[str]:
    """Return the parts of an answer that may be the value, the likeliest first, in time linear in its length.

    What is thought is no answer. A fence at the end is the answer to those before it; without one, the whole text is,
    or what stands between its outermost braces.
    """
    answer = text.partition(THOUGHT_ENDS)[2] if text.lstrip().startswith(THOUGHT) else text
    parts = answer.split(FENCE)
    fences = [part.partition("\n")[2] for part in parts[1::2] if "\n" in part]
    spans = [answer[answer.find("{") : answer.rfind("}") + 1]]
    if THOUGHT_ENDS in answer:  # some endpoints leave the first mark out
        last = answer.rpartition(THOUGHT_ENDS)[2]
        spans = [last, last[last.find("{") : last.rfind("}") + 1], *spans]
    if fences and THOUGHT_ENDS not in answer.rpartition(FENCE)[2]:
        return [*reversed(fences[-TRIED:]), *spans]
    return [answer, *spans]


@lru_cache(maxsize=512)
def wanted(returns: Any) -> StructuredReply | None:
    """Return what a type asks for, or None for plain text (`str`, `Any`, None); TypeError if it has no schema."""
    return None if returns in UNCONSTRAINED else StructuredReply(returns)


async def complete(
    model: ChatModel,
    request: ChatRequest,
    expected: StructuredReply,
    record: Callable[[ChatRequest, ChatAnswer], None],
    on_delta: Callable[[str], None] | None = None,
    *,
    first: ChatAnswer | None = None,
) -> Any:
    """Ask until the answer fits, at most twice, then with the errors of the first; InvalidAnswerError after that.

    `record` sees every request with its answer. `first` is an answer that was already given (and recorded).
    """
    answer = first
    if answer is None:
        answer = await model.complete(request, on_delta)
        record(request, answer)
    try:
        return expected.read(answer.text)
    except ValidationError as error:
        repair = ChatRequest(
            (*request.messages, Message("assistant", answer.text), Message("user", _correction(error))),
            request.model,
            request.params,
            request.returns,
        )
    answer = await model.complete(repair, on_delta)
    record(repair, answer)
    require_usable(answer, tools=False)
    try:
        return expected.read(answer.text)
    except ValidationError as error:
        cut = " (it was cut off: raise max_tokens)" if answer.finish_reason == "length" else ""
        raise InvalidAnswerError(f"The model's answer is no {expected.schema.name}{cut}: {_problems(error)}") from error


def _correction(error: ValidationError) -> str:
    return f"That answer is not valid: {_problems(error)}. Answer again with corrected JSON only."


def _problems(error: ValidationError) -> str:
    found = [
        f"{'.'.join(map(str, item['loc'])) or 'the answer'}: {item['msg']}" for item in error.errors(include_url=False)
    ]
    return "; ".join(found[:5])


def _strict(schema: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema with every object closed and all its fields required, and whether that preserved its meaning.

    Fields with a default must be written out too: decoders that follow a schema have no notion of leaving one to us.
    """
    strict = True

    def walk(node: Any, *, names: bool = False) -> Any:
        nonlocal strict
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        if names:  # keys are names of fields or definitions, not keywords
            return {key: walk(value) for key, value in node.items()}
        cleaned = {
            key: value if key in {"enum", "const"} else walk(value, names=key in {"properties", "$defs"})
            for key, value in node.items()
            if key not in NOISE
        }
        if UNENFORCED & cleaned.keys() or cleaned.get("format", "uuid") not in ENFORCED_FORMATS:
            strict = False
        if "properties" in cleaned:
            cleaned |= {"required": list(cleaned["properties"]), "additionalProperties": False}
        elif cleaned.get("type") == "object":
            strict = False  # a free-form mapping: strict mode has no word for it
        return cleaned

    return walk(schema), strict
