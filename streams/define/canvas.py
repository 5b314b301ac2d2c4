"""The canvas: chain, group, chord and batch, values that say what to call before anything is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from streams.define.agents import Agent, Bound
from streams.define.tools import Tool
from streams.errors import DefinitionError

Member: TypeAlias = "Bound[Any] | Chain | Group | Chord | Batch"
Callback: TypeAlias = "Member | Agent[Any, Any] | Tool[Any] | Callable[..., Any]"


@dataclass(frozen=True, slots=True)
class Chain:
    """One after the other; a member without input takes the result before it."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """All at once; returns the list of results in the order of the members."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Chord:
    """A group whose outcome, failures included, goes to a callback as total, successful, failed, results."""

    group: Group
    callback: Callback


@dataclass(frozen=True, slots=True)
class Batch:
    """Items cut into lists of `size`; each list goes to the callback, which may be an agent, tool or function."""

    items: tuple[Any, ...]
    size: int
    callback: Callback


def chain(*members: Any) -> Chain:
    """Call one member after the other; the chain's result is that of the last."""
    if not members:
        raise DefinitionError("chain() needs at least one member: chain(planner.bind(x), research)")
    return Chain(tuple(_member(member) for member in members))


def group(*members: Any) -> Group:
    """Call all members at once; an iterable of members is taken as they are. An empty group gives []."""
    if len(members) == 1 and isinstance(members[0], Iterable):
        members = tuple(members[0])
    return Group(tuple(_member(member) for member in members))


def chord(members: Any, callback: Any) -> Chord:
    """Call a group, then `callback` with `total, successful, failed, results`; it is called when members failed too."""
    return Chord(members if isinstance(members, Group) else group(*members), _callback(callback))


def batch(items: Iterable[Any], size: int, callback: Any) -> Batch:
    """Cut items into lists of at most `size` and give each to `callback`; returns the list of its results."""
    if size < 1:
        raise DefinitionError("batch() needs a size of at least 1: batch(urls, 20, scrape_all)")
    return Batch(tuple(items), size, _callback(callback))


def _member(value: Any) -> Member:
    if isinstance(value, Agent):
        return Bound(value, None, has_input=False)
    if isinstance(value, Bound | Chain | Group | Chord | Batch):
        return value
    raise DefinitionError(f"{value!r} cannot be called from a canvas: use an agent, agent.bind(input) or a canvas word")


def _callback(value: Any) -> Callback:
    if isinstance(value, Tool) or (callable(value) and not isinstance(value, Agent)):
        return value
    return _member(value)


def parse(work: Any, agents: Mapping[str, Agent[Any, Any]]) -> Member:
    """Return the canvas that JSON describes, so that one can be run without writing an agent.

    `"name"` or `{"agent": name, "input": …}`, `{"chain": […]}`, `{"group": […]}`,
    `{"chord": {"group": […], "callback": …}}`, `{"batch": {"items": […], "size": n, "callback": …}}`, to any depth.
    Raises DefinitionError for anything else and for an agent that there is none of.
    """
    if isinstance(work, str):
        return Bound(_known(work, agents), None, has_input=False)
    words = [word for word in ("agent", "chain", "group", "chord", "batch") if isinstance(work, dict) and word in work]
    if len(words) != 1:
        raise DefinitionError(f"{work!r} is no canvas: give one of agent, chain, group, chord, batch")
    given = work[words[0]]
    if words == ["agent"]:
        return Bound(_known(given, agents), work.get("input"), has_input="input" in work)
    if words == ["chain"]:
        return chain(*(parse(member, agents) for member in given))
    if words == ["group"]:
        return group([parse(member, agents) for member in given])
    callback = parse(given["callback"], agents)
    if words == ["chord"]:
        return chord(group([parse(member, agents) for member in given["group"]]), callback)
    return batch(given["items"], given["size"], callback)


def _known(name: Any, agents: Mapping[str, Agent[Any, Any]]) -> Agent[Any, Any]:
    found = agents.get(name) if isinstance(name, str) else None
    if found is None:
        raise DefinitionError(f"no agent is called {name!r}: there are {', '.join(sorted(agents)) or 'none'}")
    return found
