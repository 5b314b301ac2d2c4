"""What the model knows: a broker, two workers with their stores, and what became true.

One partition, one group, one run that is submitted twice and has up to two steps; each submission also counts in a row.
All of it is tuples, so that a state is its own key.
"""

from __future__ import annotations

from typing import NamedTuple

COMMITTED, ABORTED = 2, 3  # writers 0 and 1 have the batch open
STEPS = ("one", "two")

Rows = tuple[tuple[str, int], ...]


class Unit(NamedTuple):
    """Records and an offset that become true together; `offset` None: none moves."""

    assigned: int
    rows: Rows
    offset: int | None


class Batch(NamedTuple):
    """What one transaction wrote to the journal."""

    at: int
    rows: Rows
    writer: int


class Txn(NamedTuple):
    """What the coordinator knows of a worker's producer."""

    epoch: int = 1
    phase: str = "idle"  # idle, open, committing
    offset: int | None = None  # pending
    markers: tuple[str, ...] = ()  # decided, but not written yet


class Request(NamedTuple):
    """A request that outlives its sender."""

    kind: str
    worker: int
    producer: int
    member: int
    rows: Rows
    offset: int | None


class Broker(NamedTuple):
    """The journal, the group and the transactions."""

    journal: tuple[Batch, ...] = ()
    end: int = 0
    offset: int = 0  # the group's
    owner: int = 0
    owned: int = 1  # number of the assignment
    epoch: int = 2  # the group's; members have the one at which they joined or were assigned
    members: tuple[int, int] = (1, 2)
    txns: tuple[Txn, Txn] = (Txn(), Txn())
    late: tuple[Request, ...] = ()


class Sending(NamedTuple):
    """The transaction that a worker has under way."""

    stage: str  # begun, produced, offered, staged, unknown, committed, marked, refused
    units: tuple[Unit, ...]
    member: int
    offset: int | None
    at: int = 0  # its place in the journal


class Task(NamedTuple):
    """An effect under way."""

    step: int
    assigned: int


class Worker(NamedTuple):
    """One process and the disk under it."""

    up: bool = True
    producer: int = 1
    member: int = 0  # what its library knows in the background
    published: int = 0  # what its last poll published
    assigned: int = 0  # the assignment that its callbacks know
    phase: str = "none"  # none, offsets, watermark, reading, ready
    position: int = 0  # next submission to take in
    applied: int = 0
    watermark: int = 0
    ready: tuple[Unit, ...] = ()
    sending: Sending | None = None
    task: Task | None = None
    store: Rows = ()
    mark: int = 0


class Truth(NamedTuple):
    """What became true, seen from above."""

    rows: Rows = ()
    offset: int = 0
    argument: int = 0  # what the second step was called with
    broken: str = ""


class Faults(NamedTuple):
    """How often each may still happen."""

    crashes: int = 0
    expulsions: int = 0
    compactions: int = 0
    aborts: int = 0
    lost_answers: int = 0
    lost_offsets: int = 0


class State(NamedTuple):
    """One moment."""

    broker: Broker
    workers: tuple[Worker, Worker]
    truth: Truth
    faults: Faults


def put(rows: Rows, more: Rows) -> Rows:
    """Return `rows` with `more` over them."""
    return tuple(sorted({**dict(rows), **dict(more)}.items()))


def get(rows: Rows, key: str) -> int:
    """Return a row, 0 if there is none: no value of the model is 0."""
    return dict(rows).get(key, 0)


def first(faults: Faults) -> State:
    """Return a group in which the first worker owns the partition and nothing has been done."""
    owner = Worker(member=1, published=1, assigned=1, phase="ready")
    return State(Broker(), (owner, Worker(member=2, published=2)), Truth(), faults)


def view(worker: Worker, *, strangers: bool = False) -> Rows:
    """Return what a handler reads: the store through what is not committed yet, but not that of a former assignment."""
    rows = worker.store
    for unit in (*(worker.sending.units if worker.sending else ()), *worker.ready):
        if strangers or unit.assigned == worker.assigned:
            rows = put(rows, unit.rows)
    return rows


def with_worker(state: State, number: int, worker: Worker) -> State:
    """Return the state with one worker replaced."""
    other = state.workers[1 - number]
    return state._replace(workers=(worker, other) if number == 0 else (other, worker))


def with_txn(broker: Broker, number: int, txn: Txn) -> Broker:
    """Return the broker with one producer's transaction replaced."""
    other = broker.txns[1 - number]
    return broker._replace(txns=(txn, other) if number == 0 else (other, txn))


def with_member(broker: Broker, number: int, epoch: int) -> Broker:
    """Return the broker with one member's epoch replaced."""
    other = broker.members[1 - number]
    return broker._replace(members=(epoch, other) if number == 0 else (other, epoch))


def spend(state: State, fault: str) -> State | None:
    """Return the state after one more of a fault, None if there are none left."""
    left = getattr(state.faults, fault)
    return state._replace(faults=state.faults._replace(**{fault: left - 1})) if left else None
