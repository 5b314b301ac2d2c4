"""Discovery: imports the folders that users fill and collects the values in them; nothing registers itself."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from schemas import Event
from streams.define.agents import Agent
from streams.define.reactions import Reaction
from streams.define.schedules import Schedule
from streams.define.sources import SourceDef
from streams.define.tables import TableDef
from streams.define.tools import Tool
from streams.error_text import error_message, error_type
from streams.errors import DefinitionError, DiscoveryError
from topics import Topic

EXAMPLES: Final = "streams.examples"
"""The name that stands for the whole sample application in STREAMS_APPS."""

SAMPLE: Final = ("streams.agents", "streams.reactions", "streams.schedules", "streams.tables")

BUILT_IN: Final = (
    "schemas",
    "streams.tools",
    "streams.sources",
    "streams.tables.runs",
    "streams.tables.agent_stats",
    "streams.tables.usage",
    "streams.tables.alerts",
    "streams.reactions.alerts",
)
"""What is always there: nothing of it starts a run or calls a model. A source needs its secret."""

OVERRIDABLE: Final = ("schemas.bus", "schemas.github", "schemas.slack", "schemas.tickets")
"""Modules whose events a user may define anew; the other events in `schemas` are the protocol of our processes."""

RESERVED_TABLES: Final = frozenset({"runs", "agent_stats"})

_HOME: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Catalog:
    """Everything that was found, by name (events: by type)."""

    agents: dict[str, Agent[Any, Any]] = field(default_factory=dict)
    tools: dict[str, Tool[Any]] = field(default_factory=dict)
    reactions: dict[str, Reaction] = field(default_factory=dict)
    sources: dict[str, SourceDef] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    tables: dict[str, TableDef] = field(default_factory=dict)
    events: dict[str, type[Event]] = field(default_factory=dict)
    topics: dict[str, Topic] = field(default_factory=dict)

    def agent(self, name: str) -> Agent[Any, Any]:
        """Return the agent with that name; raise DiscoveryError with the names that there are."""
        found = self.agents.get(name)
        if found is None:
            raise DiscoveryError(f"no agent is called {name!r}: there are {', '.join(sorted(self.agents)) or 'none'}")
        return found

    def changelogs(self, *more: str) -> list[tuple[str, int, str]]:
        """Return name, fold version and pool of each table's changelog; tables of runs have one in every pool.

        `more` are pools that nothing is mapped to yet.
        """
        every = sorted({*self.pools(), *more})
        return [
            (table.name, table.version, pool)
            for table in self.tables.values()
            for pool in (every if table.of_runs else (table.pool,))
        ]

    def pools(self) -> tuple[str, ...]:
        """Return the pools that agents and tables are mapped to, sorted, `default` always among them."""
        named = {agent.pool for agent in self.agents.values()} | {table.pool for table in self.tables.values()}
        return tuple(sorted(named | {"default"}))

    def bus_pools(self) -> tuple[str, ...]:
        """Return the pools whose workers read the bus: `default`, and those of tables that fold events."""
        return tuple(sorted({table.pool for table in self.tables.values() if not table.of_runs} | {"default"}))


_KINDS: Final[tuple[tuple[type[Any], str], ...]] = (
    (Agent, "agents"),
    (Tool, "tools"),
    (Reaction, "reactions"),
    (SourceDef, "sources"),
    (Schedule, "schedules"),
    (TableDef, "tables"),
    (Topic, "topics"),
)


def discover(packages: Sequence[str] = ()) -> Catalog:
    """Import what is built in and the packages, and collect what their modules define.

    Without packages it is the sample application. A definition in a user's package replaces a built-in one of the same
    name. Raises DiscoveryError, naming module and error, for a module that cannot be imported, for two things of one
    kind with the same name and for a name that the product itself needs.
    """
    catalog = Catalog()
    homes: dict[tuple[str, str], str] = {}
    for package in (*BUILT_IN, *expanded(packages or (EXAMPLES,))):
        for module in _modules(package):
            _collect(module, catalog, homes)
    for agent in list(catalog.agents.values()):
        for tool in agent.tools:
            _add(catalog, "tools", tool.name, tool, agent.fn.__module__, homes)
    return catalog


def expanded(packages: Sequence[str]) -> tuple[str, ...]:
    """Return the packages with the sample's own in place of its name, each once."""
    return tuple(dict.fromkeys(part for name in packages for part in (SAMPLE if name == EXAMPLES else (name,))))


def _modules(package: str) -> Iterator[ModuleType]:
    """Import a package and everything in it; a built-in folder that a distribution left out is empty."""
    built_in = package in BUILT_IN or package in SAMPLE
    if built_in and importlib.util.find_spec(package) is None:
        return
    root = _import(package)
    yield root
    for info in pkgutil.walk_packages(getattr(root, "__path__", ()), f"{package}.", onerror=_import):
        if not info.name.rpartition(".")[2].startswith("_"):  # private parts and `__main__` hold nothing to find
            yield _import(info.name)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except DiscoveryError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kind, reason = error_type(error), (error_message(error).splitlines() or [""])[0]
        place = "" if isinstance(error, DefinitionError | SyntaxError) else _raised_at(error)
        message = f"module {name} cannot be imported ({kind}: {reason}{place}): correct it or remove it"
        raise DiscoveryError(message) from error


def _raised_at(error: BaseException) -> str:
    """Return the innermost line of the modules being imported that led to the error, as ` at FILE:LINE`."""
    files = [(one.filename, one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    lines = [(file, line) for file, line in files if not file.startswith("<") and not _is_library(Path(file))]
    return f" at {lines[-1][0]}:{lines[-1][1]}" if lines else ""


def _is_library(file: Path) -> bool:
    """Return whether a file is Python's, another package's, or a part of the product that users do not edit."""
    if file.is_relative_to(sys.base_prefix) or "site-packages" in file.parts:
        return True
    samples = (_HOME.joinpath(*name.split(".")) for name in SAMPLE)
    ours = any(file.is_relative_to(_HOME / name) for name in ("streams", "schemas", "topics"))
    return ours and not any(file.is_relative_to(sample) for sample in samples)


def _collect(module: ModuleType, catalog: Catalog, homes: dict[tuple[str, str], str]) -> None:
    for value in list(vars(module).values()):
        if isinstance(value, type):
            if issubclass(value, Event) and value.event_type and value.__module__ == module.__name__:
                _add(catalog, "events", value.event_type, value, module.__name__, homes)
            continue
        for kind, place in _KINDS:
            if isinstance(value, kind):
                _add(catalog, place, value.name, value, module.__name__, homes)
                break


def _add(catalog: Catalog, place: str, name: str, value: Any, module: str, homes: dict[tuple[str, str], str]) -> None:
    known: dict[str, Any] = getattr(catalog, place)
    home = _defined_in(value, module)
    if name not in known:
        known[name] = value
        homes[place, name] = home
        return
    if known[name] is value or known[name] == value:
        return
    other = homes[place, name]
    if is_ours(home) == is_ours(other):
        raise DiscoveryError(f"two {place} are called {name!r}, in {other} and in {home}: rename one of them")
    theirs, ours = (other, home) if is_ours(home) else (home, other)
    if _is_protocol(place, name, ours):
        raise DiscoveryError(
            f"{theirs} calls one of its {place} {name!r}, a name that Streams itself needs ({ours}): choose another one"
        )
    if theirs == home:
        known[name] = value
        homes[place, name] = home


def is_ours(module: str) -> bool:
    """Return whether a module is part of the product, the sample application included."""
    file = getattr(sys.modules.get(module), "__file__", None)
    ours = module.partition(".")[0] in {"streams", "schemas", "topics"}
    return ours and (file is None or Path(file).resolve().is_relative_to(_HOME))


def _is_protocol(place: str, name: str, home: str) -> bool:
    """Return whether the product relies on its own definition, as of its tables and its records between processes."""
    return (place == "tables" and name in RESERVED_TABLES) or (place == "events" and home not in OVERRIDABLE)


def _defined_in(value: Any, module: str) -> str:
    """Return the module in which a value was defined; `module` is where it was found."""
    defined: str = getattr(getattr(value, "fn", value), "__module__", module)
    return module if isinstance(value, Topic) else defined


def names(catalog: Catalog) -> dict[str, list[str]]:
    """Return the sorted names of everything in a catalog, by kind."""
    return {part.name: sorted(getattr(catalog, part.name)) for part in fields(catalog)}
