"""How failures are answered: the retry policy, the two words a function can raise, the circuit breaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streams.define.options import is_number, known_fields, pause, truth, whole, written_at
from streams.error_text import error_attribute
from streams.errors import DefinitionError, SoftTimeout, StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

__all__ = ["POLICY", "Breaker", "Reject", "Retry", "RetryPolicy", "SoftTimeout"]

POLICY: Final = "RetryPolicy(attempts=3)"


_LONGEST_PAUSE_S = 366 * 86_400.0


class Retry(StreamsError):
    """Raise it in a step, tool or reaction to ask for another attempt, counted among the policy's.

    `after` is in seconds; without it the policy's backoff decides.
    """

    def __init__(self, message: str = "retry", *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Reject(StreamsError):
    """Raise it in a step, tool or reaction to say that no further attempt can help."""


def asked_pause(error: BaseException) -> float | None:
    """Return the seconds that an error asks to wait: `Retry(after=…)`, or a numeric `retry_after` attribute.

    What is no number of seconds up to a year, or cannot be read, asks for nothing; less than zero is no wait.
    """
    after = error_attribute(error, "after" if issubclass(type(error), Retry) else "retry_after")
    if type(after) not in (int, float) or not after <= _LONGEST_PAUSE_S:
        return None
    return max(float(after), 0.0)


@known_fields
@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, and which errors it applies to.

    `attempts` counts all tries, the first included. `first` and `cap` are seconds. `on` and `never` are exception
    classes or their names; an empty `on` means every error, and `never` wins.
    """

    attempts: int = 3
    first: float = 1.0
    factor: float = 2.0
    cap: float = 60.0
    jitter: bool = True
    on: tuple[type[BaseException] | str, ...] = ()
    never: tuple[type[BaseException] | str, ...] = ()

    def __post_init__(self) -> None:
        sound = whole(1)(self.attempts) is None and is_number(self.factor) and self.factor >= 1
        if not sound or pause(self.first) or pause(self.cap) or truth(self.jitter):
            raise DefinitionError(
                f"{written_at()}: RetryPolicy needs attempts >= 1, finite first >= 0 and cap >= 0, "
                f"factor >= 1, jitter True or False: correct {self!r}"
            )
        for name, kinds in (("on", self.on), ("never", self.never)):
            if not isinstance(kinds, tuple) or not all(_is_error(kind) for kind in kinds):
                raise DefinitionError(
                    f"{written_at()}: RetryPolicy({name}=…) is a tuple of exception classes or their names, "
                    f"as in (ConnectionError,): correct {kinds!r}"
                )

    def allows(self, error_types: Iterable[str]) -> bool:
        """Return whether an error may be tried again; error_types are the names of its class and base classes."""
        names = frozenset(error_types)
        if any(_name(kind) in names for kind in self.never):
            return False
        return not self.on or any(_name(kind) in names for kind in self.on)

    def delay(self, attempt: int, random: Random) -> float:
        """Return the seconds to wait after the given failed attempt (counted from 1), drawn from `random`."""
        ceiling = min(self.cap, self.first * self.factor ** min(attempt - 1, 64))
        return random.uniform(0.0, ceiling) if self.jitter else ceiling


@known_fields
@dataclass(frozen=True, slots=True)
class Breaker:
    """A circuit breaker: open after `failures` in a row, closed again `cooldown` seconds later.

    `per` names an argument that is a URL: each host has a breaker of its own, so that links which fail, whoever wrote
    them, close the way to their own hosts only.
    """

    failures: int = 5
    cooldown: float = 60.0
    per: str | None = None

    def __post_init__(self) -> None:
        if whole(1)(self.failures) or pause(self.cooldown) or not isinstance(self.per, str | None):
            raise DefinitionError(
                f"{written_at()}: Breaker needs failures >= 1, a finite cooldown >= 0 in seconds and per=, if given, "
                f"the name of an argument: correct {self!r}"
            )


def _is_error(kind: Any) -> bool:
    return isinstance(kind, str) or (isinstance(kind, type) and issubclass(kind, BaseException))


def _name(kind: type[BaseException] | str) -> str:
    return kind if isinstance(kind, str) else kind.__name__
