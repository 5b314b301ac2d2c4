"""Discovery: imports the folders that users fill and collects the values in them; nothing registers itself."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
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
from streams.errors import DiscoveryError
from topics import Topic

SHIPPED: Final = (
    "streams.agents",
    "streams.tools",
    "streams.reactions",
    "streams.sources",
    "streams.schedules",
    "streams.tables",
    "schemas",
)


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
    """Import what ships and the user's packages, and collect what their modules define.

    Raises DiscoveryError, naming module and error, for a module that cannot be imported and for two things of one
    kind with the same name.
    """
    catalog = Catalog()
    homes: dict[tuple[str, str], str] = {}
    for package in (*SHIPPED, *packages):
        for module in _modules(package, shipped=package in SHIPPED):
            _collect(module, catalog, homes)
    for agent in list(catalog.agents.values()):
        for tool in agent.tools:
            _add(catalog, "tools", tool.name, tool, agent.fn.__module__, homes)
    return catalog


def _modules(package: str, *, shipped: bool) -> Iterator[ModuleType]:
    """Import a package and everything in it; a shipped folder that a distribution left out is empty."""
    if shipped and importlib.util.find_spec(package) is None:
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
        kind, reason = error_type(error), error_message(error).splitlines()[0]
        raise DiscoveryError(f"module {name} cannot be imported ({kind}: {reason}): correct it or remove it") from error


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
    if name not in known:
        known[name] = value
        homes[place, name] = module
    elif known[name] is not value and known[name] != value:
        raise DiscoveryError(
            f"two {place} are called {name!r}, in {homes[place, name]} and in {module}: rename one of them"
        )


def names(catalog: Catalog) -> dict[str, list[str]]:
    """Return the sorted names of everything in a catalog, by kind."""
    return {part.name: sorted(getattr(catalog, part.name)) for part in fields(catalog)}
