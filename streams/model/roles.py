"""Several models by role, each with its own endpoint and limits, and who is asked when one of them does not answer."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from streams.model.errors import ModelBusyError, ModelError, ModelRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streams.model.chat import ChatAnswer, ChatModel, ChatRequest
    from streams.model.prices import Price

log = logging.getLogger(__name__)

USUAL: Final = "default"
BUSY_TRIES: Final = 3  # requests to an endpoint that is busy, before the next in line is asked
BUSY_PAUSE_S: Final = 1.0  # when it does not say how long
LONGEST_BUSY_S: Final = 10.0  # who asks for a longer pause is left for the next in line at once


@dataclass(frozen=True)
class Role:
    """A model with those that stand in for it, in order."""

    name: str
    model: ChatModel
    fallback: tuple[str, ...] = ()


class RoledModel:
    """Asks the model of the role that a request names; the usual one for a model's own name, and for none.

    The next in line is asked after a failed connection, a time-out, a 5xx and a 429 that lasts; never after a refusal
    of the request itself, since every other model would be paid to refuse it, too. Without anybody in line a failure
    is the caller's at once: the run's retry policy, which records attempts, decides.
    """

    def __init__(
        self, roles: Mapping[str, Role], *, total: float = 600.0, price: Callable[[str], Price | None] | None = None
    ) -> None:
        """`roles` has at least the usual one; `total` is in seconds, for everything that one call may take."""
        self._roles = dict(roles)
        self._total = total
        self._price = price
        self.fallbacks = 0  # calls that somebody else than the first answered

    @property
    def name(self) -> str:
        """The model that answers when a request names none."""
        return self._roles[USUAL].model.name

    def model_of(self, request: ChatRequest) -> str:
        """Return the name of the model that a request means: a role is what the settings make of it."""
        role = self._roles.get(request.model)
        return role.model.name if role is not None else request.model or self.name

    def price(self, model: str) -> Price | None:
        """Return what a model costs, None if nobody knows."""
        return None if self._price is None else self._price(model)

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Return the first answer of the role and its fallbacks; raises what the last of them raised."""
        first = self._roles.get(request.model)
        role = first or self._roles[USUAL]
        asked = request if first is None else replace(request, model="")
        line = [role, *(self._roles[name] for name in role.fallback)]
        call = self._asked(line, asked, on_delta) if role.fallback else role.model.complete(asked, on_delta)
        del (
            request,
            asked,
        )  # nobody else is to be asked with them: their texts would stay in memory for as long as it takes
        try:
            async with asyncio.timeout(self._total):
                return await call
        except TimeoutError as error:
            raise ModelError(
                f"No model answered within {self._total:g} s (STREAMS_LLM_TOTAL_TIMEOUT), waits included."
            ) from error

    async def aclose(self) -> None:
        """Close the connections of all models."""
        for role in self._roles.values():
            if (close := getattr(role.model, "aclose", None)) is not None:
                await close()

    async def _asked(
        self, line: list[Role], request: ChatRequest, on_delta: Callable[[str], None] | None
    ) -> ChatAnswer:
        for place, role in enumerate(line):
            try:
                if place + 1 == len(line):
                    answer = await role.model.complete(request, on_delta)
                else:
                    answer = await _patiently(role.model, request, on_delta)
            except ModelRefusedError:
                raise
            except ModelError as error:
                if place + 1 == len(line):
                    raise
                log.warning("model %s: %s; %s is asked instead", role.name, error, line[place + 1].name)
                request = replace(request, model="")  # the next one has names of its own
            else:
                self.fallbacks += place > 0
                return answer
        raise ModelError("no model is known")  # a line is never empty


async def _patiently(model: ChatModel, request: ChatRequest, on_delta: Callable[[str], None] | None) -> ChatAnswer:
    """Ask again while an endpoint is busy, as it asks to be; its last refusal is raised."""
    number = 1
    while True:
        try:
            return await model.complete(request, on_delta)
        except ModelBusyError as error:
            pause = BUSY_PAUSE_S * number if error.after is None else error.after
            if number == BUSY_TRIES or pause > LONGEST_BUSY_S:
                raise
        number += 1
        await asyncio.sleep(pause)
