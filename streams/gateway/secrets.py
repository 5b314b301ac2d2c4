"""The secrets of webhooks, checked once at the start: with a wrong one every delivery is a 401."""

from __future__ import annotations

import difflib
import logging
from typing import TYPE_CHECKING, Final

from streams.gateway.access import UnsafeBindError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic import SecretStr

log = logging.getLogger(__name__)

SHORT_SECRET: Final = 8
"""Characters under which a secret stops the start: whoever sees one delivery finds it by trying all."""

_LONG_ENOUGH: Final = 16


def revealed(secrets: Mapping[str, Sequence[SecretStr]], sources: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the secrets by source; UnsafeBindError for a blank one. Warns of a source that is not there."""
    found = {name: tuple(secret.get_secret_value() for secret in of_source) for name, of_source in secrets.items()}
    for name, of_source in found.items():
        if not of_source or any(not secret.strip() for secret in of_source):
            message = f"STREAMS_WEBHOOK_SECRETS has an empty secret for '{name}': fill it in, or remove the source."
            raise UnsafeBindError(message)
        if name not in sources:
            near = difflib.get_close_matches(name, sources, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(sources)) or 'none'}."
            log.warning("STREAMS_WEBHOOK_SECRETS names '%s', but no source has that name: %s", name, hint)
    return found


def check_strength(secrets: Mapping[str, Sequence[SecretStr]]) -> None:
    """Raise UnsafeBindError for a secret that can be guessed; warn of one that is shorter than 128 random bits."""
    for name, of_source in secrets.items():
        shortest = min((len(secret.get_secret_value()) for secret in of_source), default=0)
        if shortest < SHORT_SECRET:
            message = (
                f"STREAMS_WEBHOOK_SECRETS has a secret of {shortest} characters for '{name}', which can be guessed: "
                f"take {SHORT_SECRET} or more, for example from `openssl rand -hex 32`."
            )
            raise UnsafeBindError(message)
        if shortest < _LONG_ENOUGH:
            log.warning("STREAMS_WEBHOOK_SECRETS has a secret of under %d characters for '%s'", _LONG_ENOUGH, name)
