"""Distinguishes an answer from what only looks like one: a refusal, an answer that was cut off, and nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model.errors import ModelError, ModelRefusedError

if TYPE_CHECKING:
    from streams.model.chat import ChatAnswer

SHOWN = 300  # characters of a refusal that an error repeats


def require_usable(answer: ChatAnswer, *, tools: bool) -> None:
    """Raise if an answer holds nothing to go on with; `tools` says whether the model was offered any.

    ModelRefusedError where the same question gets no other answer: the model refuses, a content filter stopped it, or
    it was cut off before its first word. ModelError for an empty text, which another attempt may fill.
    """
    name = answer.model or "The model"
    if answer.tool_calls and tools:
        return
    if answer.finish_reason == "content_filter":
        raise ModelRefusedError(f"{name}: a content filter stopped the answer; change the prompt or its data.")
    if answer.refusal and not answer.text.strip():
        raise ModelRefusedError(f"{name} refused to answer: {' '.join(answer.refusal.split())[:SHOWN]}")
    if answer.text.strip():
        return
    if answer.finish_reason == "length":
        raise ModelRefusedError(f"{name}: the answer was cut off before its first word; raise max_tokens.")
    if answer.tool_calls:
        wanted = ", ".join(sorted({call.name for call in answer.tool_calls}))
        raise ModelError(f"{name} answered with calls of tools that it was not offered ({wanted}) and no text.")
    raise ModelError(f"{name} answered with an empty text.")
