"""Makes the chat model that the settings ask for, so that the worker has one line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model.errors import ModelRefusedError

if TYPE_CHECKING:
    from streams.model.openai_chat import OpenAIChat
    from streams.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_MODEL = "gpt-4o-mini"
LOCAL_MODEL = "local"
NO_KEY = "none"  # the client insists on a key; endpoints without one ignore it


def chat_model(settings: Settings) -> OpenAIChat:
    """Return a client of LLM_BASE_URL, or of OpenAI when only a key is set; it opens no connection yet.

    Raises ModelRefusedError when neither is set: `streams dev` then starts the local model and passes its URL on.
    """
    from streams.model.openai_chat import OpenAIChat  # noqa: PLC0415 - loading the client takes half a second

    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
    if settings.llm_base_url is None and key is None:
        raise ModelRefusedError(
            "No model is known: start one with `streams dev`, or set STREAMS_LLM_BASE_URL or OPENAI_API_KEY."
        )
    url = settings.llm_base_url or OPENAI_URL
    usual = OPENAI_MODEL if url.rstrip("/") == OPENAI_URL else LOCAL_MODEL
    return OpenAIChat(url, key or NO_KEY, settings.llm_model or usual, timeout=settings.llm_timeout)
