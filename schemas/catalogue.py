"""Finds the event classes of packages, so that nothing has to be registered."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType

from schemas.errors import SchemaError
from schemas.event import Event
from schemas.github import github_event
from schemas.journal import JournalEntry
from schemas.parked_event import ParkedEvent
from schemas.schedule import ScheduleState
from schemas.slack import slack_event

#: Records that go on the log and are no events.
PLAIN_RECORDS = (JournalEntry, ParkedEvent, ScheduleState)

#: Senders with more types than are worth a class each: what begins so has its sender's generic class.
_GENERIC: dict[str, Callable[[str], type[Event]]] = {"github": github_event, "slack": slack_event}


def events(packages: Iterable[str] = ("schemas",)) -> dict[str, type[Event]]:
    """Return every concrete event class that the packages define, by type.

    Raises SchemaError naming the module that cannot be imported, or the two classes that claim one type.
    """
    found: dict[str, type[Event]] = {}
    for module in _modules(packages):
        for value in vars(module).values():
            if not _defined_in(value, module):
                continue
            other = found.setdefault(value.event_type, value)
            if other is not value:
                message = (
                    f"event type {value.event_type!r} is declared twice: by {other.__module__}.{other.__name__} "
                    f"and {value.__module__}.{value.__name__}; rename one"
                )
                raise SchemaError(message)
    return found


def event_class(known: Mapping[str, type[Event]], event_type: str) -> type[Event] | None:
    """Return the class for a type: a known one, the generic one for other deliveries of GitHub or Slack, or None."""
    found = known.get(event_type)
    if found is not None:
        return found
    sender, dot, _ = event_type.partition(".")
    generic = _GENERIC.get(sender)
    if generic is None or not dot:
        return None
    try:
        return generic(event_type)
    except SchemaError:  # an ill-formed type has no class
        return None


def _defined_in(value: object, module: ModuleType) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Event)
        and bool(value.event_type)
        and value.__module__ == module.__name__
    )


def _modules(packages: Iterable[str]) -> Iterator[ModuleType]:
    for package in packages:
        root = _imported(package)
        yield root
        for info in pkgutil.walk_packages(getattr(root, "__path__", ()), package + "."):
            yield _imported(info.name)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        message = f"module {name} cannot be imported: {type(error).__name__}: {error}"
        raise SchemaError(message) from error
