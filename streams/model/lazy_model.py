"""The chat model of the settings, made at the first call: a worker without agents that ask one needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.model.model_from_settings import chat_model

if TYPE_CHECKING:
    from streams.model.roles import RoledModel
    from streams.settings import Settings


class LazyModel:
    """Makes the model once."""

    def __init__(self, settings: Settings) -> None:
        """Connect as `settings` say, when it is asked for the first time."""
        self._settings = settings
        self._model: RoledModel | None = None

    def __call__(self) -> RoledModel:
        """Return the model; raises ModelRefusedError when the settings name none."""
        if self._model is None:
            self._model = chat_model(self._settings)
        return self._model

    async def aclose(self) -> None:
        """Close the connections of the model, if there is one."""
        if self._model is not None:
            await self._model.aclose()
