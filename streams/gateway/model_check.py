"""Readiness of the model endpoint: it answers at all; asked rarely, since others pay for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from streams.clock import monotonic

if TYPE_CHECKING:
    from streams.settings import Settings

_VALID_S: Final = 30.0
_ANSWER_S: Final = 2.0
_BROKEN: Final = 500


class ModelCheck:
    """A check whose good outcome counts for some seconds."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient) -> None:
        self._url = settings.llm_base_url
        self._key = settings.llm_api_key
        self._client = client
        self._good_until = 0.0

    async def __call__(self) -> str | None:
        """Return None if the endpoint answers, or none is set; else one line."""
        if self._url is None or monotonic() < self._good_until:
            return None
        headers = {} if self._key is None else {"authorization": f"Bearer {self._key.get_secret_value()}"}
        try:
            response = await self._client.get(f"{self._url.rstrip('/')}/models", headers=headers, timeout=_ANSWER_S)
        except httpx.HTTPError:
            return "the model endpoint does not answer: see STREAMS_LLM_BASE_URL"
        if response.status_code >= _BROKEN:
            return f"the model endpoint answers {response.status_code}"
        self._good_until = monotonic() + _VALID_S
        return None
