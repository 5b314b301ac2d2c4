"""What the broker does: by itself, and when it is asked."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.protocol_model._rules import Rules
from tests.unit.protocol_model._state import (
    ABORTED,
    COMMITTED,
    STEPS,
    Batch,
    Broker,
    Request,
    Rows,
    State,
    Truth,
    get,
    put,
    spend,
    with_member,
    with_txn,
    with_worker,
)

Move = tuple[str, State]
OK, FENCED, REFUSED = "ok", "fenced", "refused"
NAMES = ("A", "B")


def stable(broker: Broker) -> int:
    """Return the last stable offset of the journal."""
    return next((batch.at for batch in broker.journal if batch.writer < COMMITTED), broker.end)


def fold(broker: Broker, start: int, end: int, *, committed: bool = True) -> Rows:
    """Return the rows that the journal gives between two positions."""
    rows: Rows = ()
    for batch in broker.journal:
        if start <= batch.at < end and (batch.writer == COMMITTED or not committed):
            rows = put(rows, batch.rows)
    return rows


def pending(broker: Broker) -> bool:
    """Return whether an offset is sent but not decided, or decided but not written."""
    return any(txn.offset is not None for txn in broker.txns)


def ask(state: State, request: Request, rules: Rules) -> tuple[State, str]:
    """Handle a request; return the answer."""
    broker, number = state.broker, request.worker
    txn = broker.txns[number]
    if request.producer != txn.epoch and rules.producers_are_fenced:
        return state, FENCED
    if txn.phase == "committing" or (request.kind == "commit" and txn.phase != "open"):
        return state, FENCED
    if request.kind == "produce":
        batch = Batch(broker.end, request.rows, number)
        broker = with_txn(broker, number, txn._replace(phase="open"))
        return state._replace(broker=broker._replace(journal=(*broker.journal, batch), end=broker.end + 1)), OK
    if request.kind == "offsets":
        nameless = request.member == -1
        if rules.members_are_checked and not nameless and request.member != broker.members[number]:
            return state, REFUSED
        return state._replace(broker=with_txn(broker, number, txn._replace(phase="open", offset=request.offset))), OK
    return _decide(state, number), OK


def _decide(state: State, number: int) -> State:
    """Commit: from here on it is true, whatever is written when."""
    broker = state.broker
    txn = broker.txns[number]
    truth = state.truth
    for batch in broker.journal:
        if batch.writer == number:
            truth = _believe(truth, batch.rows, txn.offset)
    if txn.offset is not None:
        if txn.offset < truth.offset:
            truth = truth._replace(broken="an offset went back")
        truth = truth._replace(offset=txn.offset)
        if txn.offset and not get(truth.rows, "submitted"):
            truth = truth._replace(broken="an acknowledged run is passed and not recorded")
    markers = ("journal", "offsets") if txn.offset is not None else ("journal",)
    broker = with_txn(broker, number, txn._replace(phase="committing", markers=markers))
    return state._replace(broker=broker, truth=truth)


def _believe(truth: Truth, rows: Rows, offset: int | None) -> Truth:
    for key, value in rows:
        if key in ("submitted", *STEPS) and get(truth.rows, key):
            return truth._replace(broken=f"{key} is recorded twice")
        if key == "count" and value != offset:
            return truth._replace(broken="a count and its offset are not one")
        if key == "one" and truth.argument not in (0, value):
            return truth._replace(broken="an effect was called with what the log never held")
    return truth._replace(rows=put(truth.rows, rows))


def abort(broker: Broker, number: int, *, fence: bool = False) -> Broker:
    """End a transaction without effect. That its markers come later is left out: it only delays."""
    txn = broker.txns[number]
    journal = tuple(batch._replace(writer=ABORTED) if batch.writer == number else batch for batch in broker.journal)
    ended = txn._replace(phase="idle", offset=None, epoch=txn.epoch + fence)
    return with_txn(broker._replace(journal=journal), number, ended)


def write_marker(broker: Broker, number: int, marker: str) -> Broker:
    """Make a decided transaction visible on one of its partitions."""
    txn = broker.txns[number]
    left = tuple(one for one in txn.markers if one != marker)
    if marker == "offsets" and txn.offset is not None:
        broker = broker._replace(offset=txn.offset)
        txn = txn._replace(offset=None)
    if marker == "journal":
        journal = tuple(
            batch._replace(writer=COMMITTED) if batch.writer == number else batch for batch in broker.journal
        )
        broker = broker._replace(journal=journal)
    return with_txn(broker, number, txn._replace(markers=left, phase="committing" if left else "idle"))


def expel(broker: Broker, number: int) -> Broker:
    """End a membership."""
    broker = with_member(broker, number, 0)
    return broker._replace(owner=-1) if broker.owner == number else broker


def compacted(broker: Broker) -> Broker:
    """Drop what was aborted or overwritten below the last stable offset; positions stay."""
    end, seen = stable(broker), set[str]()
    kept: list[Batch] = []
    for batch in reversed(broker.journal):
        if batch.at >= end:
            kept.append(batch)
        elif batch.writer == COMMITTED:
            rows = tuple((key, value) for key, value in batch.rows if key not in seen)
            seen.update(key for key, _ in batch.rows)
            kept.extend([batch._replace(rows=rows)] if rows else [])
    return broker._replace(journal=tuple(reversed(kept)))


def moves(state: State, rules: Rules) -> Iterator[Move]:
    """Yield what the broker may do by itself."""
    broker = state.broker
    for number in (0, 1):
        yield from _transactions(state, number)
        yield from _members(state, number)
    for request in broker.late:
        without = state._replace(broker=broker._replace(late=tuple(one for one in broker.late if one != request)))
        yield f"{NAMES[request.worker]}'s late {request.kind} arrives", ask(without, request, rules)[0]
    if (spent := spend(state, "compactions")) is not None and (less := compacted(broker)) != broker:
        yield "compaction", spent._replace(broker=less)
    if (spent := spend(state, "lost_offsets")) is not None and broker.owner == -1 and not pending(broker):
        yield "the group's offsets are deleted", spent._replace(broker=broker._replace(offset=0))


def _transactions(state: State, number: int) -> Iterator[Move]:
    broker, name = state.broker, NAMES[number]
    txn, worker = broker.txns[number], state.workers[number]
    for marker in txn.markers:
        yield f"{name}'s commit is written to {marker}", state._replace(broker=write_marker(broker, number, marker))
    if txn.phase == "open" and (broker.owner != number or not worker.up):
        yield f"{name}'s transaction times out", state._replace(broker=abort(broker, number, fence=True))


def _members(state: State, number: int) -> Iterator[Move]:
    broker, worker, name = state.broker, state.workers[number], NAMES[number]
    member, epoch = broker.members[number], broker.epoch + 1
    if member and not worker.up:
        yield f"{name}'s session ends", state._replace(broker=expel(broker, number))
    if broker.owner == number and worker.up and (spent := spend(state, "expulsions")) is not None:
        yield f"{name} is expelled without notice", spent._replace(broker=expel(broker, number))
    if not worker.up:
        return
    joined = with_worker(state, number, worker._replace(member=epoch))
    grown = with_member(broker._replace(epoch=epoch), number, epoch)
    if not member:
        yield f"{name} joins again", joined._replace(broker=grown)
    elif broker.owner == -1:
        yield f"the partition is given to {name}", joined._replace(broker=grown._replace(owner=number, owned=epoch))
