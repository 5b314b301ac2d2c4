"""The index of runs: each run's row, how runs are found in order, and what is counted of them.

A run's row is in the transaction of the entries that change it, so a list never shows what the journal does not say;
what changes it more than once in a transaction is one row. Entries
of the index end in the time of submission and the run's id, turned round: read in order they are newest first. (Read
backwards they would be, too, but the store's iterators do not stop at a lower bound.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from schemas.run import ENDED
from streams.engine.view import fold
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.store_index import StoreIndex, term
from streams.tables.agent_stats import AgentStats, RunsMoved, agent_stats
from streams.tables.runs import RunRow, fields_of, runs
from streams.worker.events.table_folds import store_name
from streams.worker.runs.active_run import UNLISTED
from streams.worker.runs.key_gate import key_of

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.define.agents import Agent
    from streams.engine.entry import Entry
    from streams.engine.view import RunView
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import Write
    from streams.runtime.partition_store import DeferredRow, PartitionStore
    from streams.worker.runs.active_run import ActiveRun, Shown

RUNS: Final = store_name(runs)
STATS: Final = store_name(agent_stats)
ALL: Final = b"t\x00"
BY_AGENT: Final = b"a\x00"
_TURNED: Final = bytes(255 - byte for byte in range(256))
_END: Final = b"\xff"  # behind all bytes of a turned id: of two ids the longer comes first
_TIME_BYTES: Final = 8


class RunRowChange:
    """What a run's row says after a decision: its fields, none if it is deleted; `before` is the status before."""

    __slots__ = ("_codec", "before", "fields", "gone", "key", "store")

    def __init__(
        self,
        store: PartitionStore,
        codec: Codec,
        before: str | None,
        fields: dict[str, Any] | None,
        gone: dict[str, Any] | None = None,
    ) -> None:
        """Change a row of `store`; `gone` are the fields of one that is deleted."""
        self.store = store
        self._codec = codec
        self.before = before
        self.fields = fields
        self.gone = gone
        self.key: bytes = (fields or gone or {})["run_id"].encode()

    def data(self) -> bytes | None:
        """Return the row."""
        return None if self.fields is None else self._codec.encode_fields(RunRow, self.fields)


class RunIndex:
    """Writes rows of `runs` and `agent_stats`; reads them for nobody but itself."""

    def __init__(self, codec: Codec, agents: dict[str, Agent[Any, Any]]) -> None:
        """Write by `codec`; concurrency keys are those of `agents`."""
        self._codec = codec
        self._agents = agents
        self._stats: dict[tuple[PartitionAssignment, str], tuple[bytes, AgentStats]] = {}
        self.index = StoreIndex(b"1", self._entries)

    # -- in the event loop

    def changed(self, live: ActiveRun, unit: CommitUnit) -> None:
        """Write a run's row with `unit` if the entries in it change what the row says."""
        view = live.machine.journal.view
        now: Shown = (view.status, view.stage, view.progress, view.ended)
        if live.shown == now:
            return
        before = live.shown or self._shown(live.assignment, live.run_id)
        live.shown = now
        if before is UNLISTED:
            self._write(unit, view, None)
        elif before != now:
            self._write(unit, view, before)

    def add(self, owned: PartitionAssignment, run_id: str, entries: Sequence[Entry]) -> CommitUnit | None:
        """Return a unit with the row of a run that has none yet: its journal is older than the table."""
        if owned.stores[RUNS].get(run_id.encode()) is not None:
            return None
        view = fold(sorted(entries, key=lambda entry: entry.seq))
        unit = CommitUnit(owned)
        self._write(unit, view, None)
        return unit

    def forget(self, unit: CommitUnit, run_id: str) -> None:
        """Delete the row of a run whose history goes with `unit`."""
        store = unit.assignment.stores[RUNS]
        row = store.get(run_id.encode())
        if row is not None:
            fields = self._codec.decode_dict(row)
            unit.change(RunRowChange(store, self._codec, fields["status"], None, fields))

    def _shown(self, owned: PartitionAssignment, run_id: str) -> Shown | None:
        data = owned.stores[RUNS].get(run_id.encode())
        if data is None:
            return None
        row = self._codec.decode_dict(data)
        return row["status"], row["stage"], row["progress"], row["endings"]

    def _write(self, unit: CommitUnit, view: RunView, before: Shown | None) -> None:
        agent = self._agents.get(view.agent)
        if view.key is None and agent is not None and agent.concurrency_key is not None:
            view.key = key_of(agent, view.input)
        old = None if before is None else before[0]
        unit.change(RunRowChange(unit.assignment.stores[RUNS], self._codec, old, fields_of(view)))

    def _entries(self, _key: bytes, data: bytes) -> Iterable[bytes]:
        fields = self._codec.decode_dict(data)
        return entries_of(fields, fields["status"])

    # -- in the commit thread

    def rows(self, owned: PartitionAssignment, changes: Sequence[DeferredRow]) -> tuple[list[Write], list[Write]]:
        """Return the rows of `runs` and `agent_stats` after what one transaction changes, and the runs' entries."""
        first: dict[bytes, RunRowChange] = {}
        last: dict[bytes, RunRowChange] = {}
        moves: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
        took: dict[str, list[int]] = defaultdict(list)
        for change in cast("Sequence[RunRowChange]", changes):
            first.setdefault(change.key, change)
            last[change.key] = change
            row = change.fields
            if row is not None and row["status"] != change.before:
                moves[row["agent"]].append((change.before, row["status"]))
                if row["status"] in ENDED:
                    took[row["agent"]].append(row["updated_ms"] - row["created_ms"])
        rows = [(change.store, key, change.data()) for key, change in last.items()]
        stats = owned.stores[STATS]
        for agent, moved in moves.items():
            counted = self._counted(owned, stats, RunsMoved(agent, moved, took.get(agent, ())))
            rows.append((stats, agent.encode(), counted))
        entries = owned.stores[RUNS].entries
        return rows, [write for key, change in last.items() for write in moved_entries(entries, first[key], change)]

    def _counted(self, owned: PartitionAssignment, store: PartitionStore, moved: RunsMoved) -> bytes:
        """Return an agent's row after `moved`; what was made last is not read again if it is what is committed."""
        known, data = self._stats.get((owned, moved.agent)), store.committed(moved.agent.encode())
        if data is None:
            row = None
        elif known is not None and known[0] == data:
            row = known[1]
        else:
            row = self._codec.decode(data, AgentStats)
            for gone in [place for place in self._stats if not place[0].live]:
                del self._stats[gone]
        after = agent_stats.fn(row, moved)
        data = self._codec.encode(after)
        self._stats[owned, moved.agent] = (data, after)
        return data


def moved_entries(entries: PartitionStore, first: RunRowChange, last: RunRowChange) -> Iterator[Write]:
    """Yield what becomes of a run's entries from the first change of its row in a transaction to the last."""
    old, row = first.before, last.fields
    if row is None:
        if old is not None and last.gone is not None:
            yield from ((entries, at, None) for at in entries_of(last.gone, old))
        return
    if old == row["status"]:
        return
    new = entries_of(row, row["status"])  # the first one has no status in it
    if old is not None:
        yield from ((entries, at, None) for at in entries_of(row, old)[1:])
    yield from ((entries, at, b"") for at in (new if old is None else new[1:]))


def entries_of(row: dict[str, Any], status: str) -> list[bytes]:
    """Return a run's entries in the index were its status this one: in the list of all, then in those with filters."""
    place = place_of(row["created_ms"], row["run_id"])
    queue = group(row["agent"], status)
    found = [ALL + place, BY_AGENT + queue + place]
    if row["parent"] is not None:
        found.append(by_parent(row["parent"]) + queue + place)
    if row["key"] is not None:
        found.append(by_key(row["key"]) + queue + place)
    return found


def place_of(created_ms: int, run_id: str = "") -> bytes:
    """Return where a run is in lists; without an id the beginning of all runs of that millisecond."""
    data = created_ms.to_bytes(_TIME_BYTES, "big") + run_id.encode()
    return data.translate(_TURNED) + (_END if run_id else b"")


def run_at(place: bytes) -> bytes:
    """Return the id of the run at a place in lists."""
    return place[_TIME_BYTES:-1].translate(_TURNED)


def group(agent: str, status: str) -> bytes:
    """Return the part of an entry by which lists of an agent and a status differ."""
    return agent.encode() + b"\x00" + status.encode() + b"\x00"


def by_parent(parent: str) -> bytes:
    """Return the prefix of a run's children."""
    return b"p\x00" + term(parent) + b"\x00"


def by_key(key: str) -> bytes:
    """Return the prefix of the runs with a concurrency key."""
    return b"k\x00" + term(key) + b"\x00"


def with_status(store: PartitionStore, *statuses: str) -> Iterator[tuple[str, str]]:
    """Yield the ids of the committed runs with these statuses, with their status, agent by agent."""
    for agent in list(agents_in(store, BY_AGENT)):
        for status in statuses:
            prefix = store.entries.prefix + BY_AGENT + group(agent, status)
            for at in store.db.keys(prefix):
                yield run_at(at[len(prefix) :]).decode(), status


def agents_in(store: PartitionStore, base: bytes) -> Iterator[str]:
    """Yield the agents that have entries under `base`, by one seek each."""
    prefix = store.entries.prefix + base
    at: bytes | None = prefix
    while at is not None:
        found = next(iter(store.db.keys(prefix, at)), None)
        if found is None:
            return
        name = found[len(prefix) :].partition(b"\x00")[0]
        yield name.decode()
        at = prefix + name + b"\x01"
