"""Makes the chat models that the settings ask for, so that the worker has one line for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.choices import ModelRole
from streams.model.errors import ModelRefusedError
from streams.model.prices import Prices
from streams.model.roles import USUAL, Role, RoledModel

if TYPE_CHECKING:
    from streams.model.openai_chat import OpenAIChat
    from streams.settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_MODEL = "gpt-4o-mini"
LOCAL_MODEL = "local"
KNOWN = ("fast", "smart")
NO_KEY = "none"  # the client insists on a key; endpoints without one ignore it


def chat_model(settings: Settings) -> RoledModel:
    """Return the models of the settings by role; no connection is opened yet.

    The usual one is at LLM_BASE_URL, or at OpenAI when only a key is set. `fast` and `smart` are always known: the
    usual one, where the settings say nothing else. Raises ModelRefusedError when no endpoint is set (`streams dev`
    starts the local model and passes its URL on), or a fallback names no role; PriceTableError.
    """
    prices = Prices.load(*([settings.llm_prices] if settings.llm_prices else []))
    roles = {USUAL: settings.llm_roles.get(USUAL, ModelRole(fallback=settings.llm_fallback))}
    roles |= dict.fromkeys(KNOWN, roles[USUAL]) | dict(settings.llm_roles)
    unknown = {one for role in roles.values() for one in role.fallback} - roles.keys()
    if unknown:
        raise ModelRefusedError(f"STREAMS_LLM_ROLES has no {', '.join(sorted(unknown))}, which a fallback names.")
    models: dict[ModelRole, OpenAIChat] = {}
    for role in roles.values():
        alone = role.model_copy(update={"fallback": ()})
        if alone not in models:
            models[alone] = _client(settings, role, prices)
        models[role] = models[alone]
    return RoledModel(
        {name: Role(name, models[role], role.fallback) for name, role in roles.items()},
        total=settings.llm_total_timeout,
        price=prices.of,
    )


def _client(settings: Settings, role: ModelRole, prices: Prices) -> OpenAIChat:
    """Return the client of one endpoint, with connections, places and pauses of its own."""
    from streams.model.openai_chat import OpenAIChat  # noqa: PLC0415 - loading the client takes half a second

    secret = role.api_key or (settings.llm_api_key if role.base_url is None else None)
    key = secret.get_secret_value() if secret else None
    if role.base_url is None and settings.llm_base_url is None and key is None:
        raise ModelRefusedError(
            "No model is known: start one with `streams dev`, or set STREAMS_LLM_BASE_URL or OPENAI_API_KEY."
        )
    url = role.base_url or settings.llm_base_url or OPENAI_URL
    usual = OPENAI_MODEL if url.rstrip("/") == OPENAI_URL else LOCAL_MODEL
    model = role.model or (settings.llm_model if role.base_url is None else None) or usual
    places = settings.llm_concurrency if role.concurrency is None else role.concurrency
    return OpenAIChat(
        url, key or NO_KEY, model, timeout=role.timeout or settings.llm_timeout, prices=prices, concurrency=places
    )
