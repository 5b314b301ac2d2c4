"""Finds dead letters for the command line: on the log itself, so that they can be read while nothing else runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.cli.log import open_log
from streams.errors import StreamsError
from streams.query.dead_letter_json import shown, whole
from streams.query.dead_letters import MOST, DeadLetter, DeadLetterIndex, DeadLetterPage

if TYPE_CHECKING:
    from collections.abc import Callable


class NoSuchLetter(StreamsError):
    """Raised for an id that no dead letter has, or more than one."""


def letters(limit: int, state: str | None = None, fingerprint: str | None = None) -> DeadLetterPage:
    """Return the newest dead letters, with this state and fingerprint where one is given."""
    return _index().newest(_fits(state, fingerprint), limit)


def find(id: str) -> dict[str, Any]:
    """Return everything about the dead letter with this id, or the only one whose id begins so; NoSuchLetter else."""
    index = _index()
    return whole(_found(index, id), index)


def ids_of(given: list[str]) -> list[str]:
    """Return the ids of dead letters named by their beginnings; NoSuchLetter for one that names none or several."""
    index = _index()
    return [_found(index, id).letter.dead_id for id in given]


def lines(page: DeadLetterPage) -> list[dict[str, Any]]:
    """Return dead letters as rows of a list."""
    return [shown(letter) for letter in page.letters]


def _index() -> DeadLetterIndex:
    log = open_log()
    return DeadLetterIndex(log.kafka, log.names, log.codec)


def _found(index: DeadLetterIndex, id: str) -> DeadLetter:
    exact = index.find(id)
    if exact is not None:
        return exact
    found = index.newest(lambda letter: letter.letter.dead_id.startswith(id), MOST).letters
    if len(found) != 1:
        what = "No dead letter has" if not found else f"{len(found)} dead letters have"
        message = f"{what} an id that begins with {id!r}: `streams dead list` shows them."
        raise NoSuchLetter(message)
    return index.whole(found)[0]


def _fits(state: str | None, fingerprint: str | None) -> Callable[[DeadLetter], bool]:
    return lambda letter: state in (None, letter.state) and fingerprint in (None, letter.letter.fingerprint)
