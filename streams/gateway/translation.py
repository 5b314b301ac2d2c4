"""From a verified delivery to what is written for it: the records that its source's function asks for, or its error.

The function and `once_per=` are the user's code. Whatever they raise is an outcome that is stored with the delivery;
only a refusal that is meant for the sender (Reject, a wrong name in the sender's own request) is raised.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas import Event
from streams.define.names import NamedEvent, NamedRun
from streams.define.policies import Reject
from streams.define.sources import MalformedBody
from streams.define.starts import StartRun
from streams.error_text import error_message
from streams.gateway.access import FORBIDDEN
from streams.gateway.body import MALFORMED_JSON
from streams.gateway.event_from_json import UNKNOWN_EVENT_TYPE, typed_event
from streams.gateway.ids import hashed
from streams.gateway.internal import check_type
from streams.gateway.problem import INVALID_EVENT, MALFORMED_REQUEST, Problem, ProblemType
from streams.gateway.submission import INVALID_INPUT, UNKNOWN_AGENT, digest, submission_id
from streams.gateway.write import ProducedRecord

if TYPE_CHECKING:
    from streams.define.sources import Delivery, SourceDef
    from streams.gateway.access import Caller
    from streams.gateway.deps import Deps
    from streams.gateway.submission import Submissions

REJECTED: Final = ProblemType("rejected", 422, "The source rejected the delivery")
TRANSLATION_PROBLEMS: Final = (UNKNOWN_AGENT, INVALID_INPUT, UNKNOWN_EVENT_TYPE, INVALID_EVENT, FORBIDDEN, REJECTED)
"""What a delivery can be refused with when its source's function is called."""

log = logging.getLogger(__name__)

UNIDENTIFIED: Final = "unidentified-"
"""How the id of a delivery begins whose `once_per=` failed; a redrive asks `once_per=` again."""

_MAX_ID: Final = 255
_MAX_RESULTS: Final = 1_000


class Identity(NamedTuple):
    """What makes a delivery the same again: the sender's id, and the one that the signature covers, if there is one."""

    id: str
    signed: str | None = None
    error: BaseException | None = None


class Meaning(NamedTuple):
    """What a delivery becomes: records to write, and their ids for the sender, or why its source failed on it.

    `named` says that the sender has named its events or agents, so that what is wrong with them is the sender's.
    """

    records: list[ProducedRecord]
    events: list[str]
    runs: list[str]
    error: BaseException | None = None
    named: bool = False


class Translator:
    """Runs the functions of sources."""

    def __init__(self, deps: Deps, submissions: Submissions) -> None:
        """Take the types of events from `deps`, and those of agents' inputs from `submissions`."""
        self._deps = deps
        self._submissions = submissions

    def identity(self, source: SourceDef, delivery: Delivery, unnamed: str) -> Identity:
        """Return what identifies a delivery; an error of the source's own functions is part of it.

        `unnamed` is the id of a delivery to which its sender gives none. Raises Problem 400 for an id in
        a header that cannot be one, and for a body that is not JSON where the source takes nothing else; 422 for a
        Reject.
        """
        try:
            found = source.delivery_id(delivery)
            signed = None if source.signed_id is None else source.signed_id(delivery)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # user code: `sys.exit` in it must not end the gateway
            _refuse(error)
            log.exception("what identifies a delivery of source %s cannot be found; it is kept", source.name)
            return Identity(UNIDENTIFIED + unnamed, error=error)
        if found is None:
            return Identity(unnamed, signed)
        text = str(found)
        if len(text) <= _MAX_ID and text.isprintable():
            return Identity(text, signed)
        message = f"The delivery's id must be printable and at most {_MAX_ID} characters."
        if isinstance(source.once_per, str):
            raise MALFORMED_REQUEST(message)
        return Identity(UNIDENTIFIED + unnamed, error=ValueError(message))

    def meaning(self, source: SourceDef, delivery: Delivery, delivery_id: str, sender: Caller) -> Meaning:
        """Return what the source's function makes of a delivery; an error of the function is part of it.

        `sender` starts the runs: the key that sent the delivery, else the webhook itself.

        Raises Problem 422 for a Reject and where the sender has named what does not fit, 400 for a body that is not
        JSON where the source takes nothing else.
        """
        try:
            return self._translate(source, delivery, delivery_id, sender)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            _refuse(error)
            log.exception("source %s failed on delivery %s; the raw delivery is kept", source.name, delivery_id)
            return failed(error)

    def _translate(self, source: SourceDef, delivery: Delivery, delivery_id: str, sender: Caller) -> Meaning:
        made = source.fn(delivery)
        items = [] if made is None else made if isinstance(made, list | tuple) else [made]
        if len(items) > _MAX_RESULTS:
            raise Reject(f"a delivery becomes at most {_MAX_RESULTS} events and runs")
        named = bool(items) and all(isinstance(item, NamedEvent | NamedRun) for item in items)
        meaning = Meaning([], [], [], named=named)
        for index, item in enumerate(items):
            self._add(meaning, item, f"{source.name}/{delivery_id}/{index}", source.name, sender)
        return meaning

    def _add(self, meaning: Meaning, item: object, item_id: str, source: str, sender: Caller) -> None:
        key = None
        if isinstance(item, NamedRun):
            item = StartRun(self._submissions.checked(item.agent, item.input), item.input)
        elif isinstance(item, NamedEvent):
            key = item.key
            check_type(item.type, sender)
            item = typed_event(self._deps.catalog.events, item.type, item.data)
        if isinstance(item, StartRun):
            event = self._submissions.of_start(item, hashed("w-", item_id), sender.name)
            seal = digest(event.agent, event.input)
            topic = self._submissions.topic(event.agent)
            meaning.records.append(ProducedRecord(topic, event, submission_id(event.run_id, seal)))
            meaning.runs.append(event.run_id)
        elif isinstance(item, Event):
            key = key or item.key_text() or item_id
            meaning.records.append(
                ProducedRecord(self._deps.names.events, item, item_id, key, source=f"/webhooks/{source}")
            )
            meaning.events.append(item_id)
        else:
            message = f"source {source} returned {type(item).__name__}; return events, StartRun or None"
            raise TypeError(message)


def failed(error: BaseException) -> Meaning:
    """Return the meaning of a delivery on which its source, or the writing of what it asked for, failed."""
    return Meaning([], [], [], error)


def line_of(error: BaseException) -> str:
    """Return an error as one line of at most 500 characters."""
    return " ".join(error_message(error, 500).split())


def _refuse(error: BaseException) -> None:
    """Raise the Problem for an error that is an answer to the sender; return for one that is a fault of the code."""
    if isinstance(error, Problem):
        raise error
    if isinstance(error, MalformedBody):
        raise MALFORMED_JSON(line_of(error)) from None
    if isinstance(error, Reject):
        raise REJECTED(line_of(error)) from None
