"""What a worker does: its consumer's thread, its restore, its handlers and its commit thread, in any order."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.protocol_model import _broker as brokers
from tests.unit.protocol_model._broker import NAMES, REFUSED, Move
from tests.unit.protocol_model._rules import Rules
from tests.unit.protocol_model._state import (
    STEPS,
    Request,
    Rows,
    Sending,
    State,
    Task,
    Unit,
    Worker,
    get,
    put,
    spend,
    view,
    with_worker,
)


def moves(state: State, number: int, rules: Rules, submissions: int, steps: int) -> Iterator[Move]:
    """Yield what a worker may do next."""
    worker = state.workers[number]
    if not worker.up:
        yield from _restart(state, number)
        return
    yield from _poll(state, number, rules)
    yield from _restore(state, number, rules)
    yield from _handlers(state, number, rules, submissions, steps)
    yield from _commit(state, number, rules)
    if (spent := spend(state, "crashes")) is not None:
        yield from _crash(spent, number)


# -- life and death


def _dead(worker: Worker) -> Worker:
    """Return what kill -9 leaves: the disk."""
    return Worker(up=False, producer=worker.producer, store=worker.store, mark=worker.mark)


def _crash(state: State, number: int) -> Iterator[Move]:
    worker, broker, name = state.workers[number], state.broker, NAMES[number]
    yield f"{name} is killed", with_worker(state, number, _dead(worker))
    for flying in _requests(worker, number, worker.sending) if worker.sending else ():
        late = broker._replace(late=(*broker.late, flying))
        yield (
            f"{name} is killed with its {flying.kind} on the way",
            with_worker(state._replace(broker=late), number, _dead(worker)),
        )


def _restart(state: State, number: int) -> Iterator[Move]:
    """Start in the slot: the predecessor's open transaction is aborted and its producer fenced."""
    broker, worker = state.broker, state.workers[number]
    if broker.txns[number].phase == "committing":
        return
    broker = brokers.expel(brokers.abort(broker, number, fence=True), number)
    fresh = worker._replace(up=True, producer=broker.txns[number].epoch)
    yield f"{NAMES[number]} starts in its slot", with_worker(state._replace(broker=broker), number, fresh)


def _poll(state: State, number: int, rules: Rules) -> Iterator[Move]:
    """Run the callbacks and publish who we are."""
    worker, broker = state.workers[number], state.broker
    sending = worker.sending
    refused = sending is not None and sending.stage == REFUSED
    if worker.member == worker.published and not refused:
        return
    assigned = broker.owned if broker.owner == number else 0
    polled = worker._replace(published=worker.member)
    if assigned != worker.assigned:
        ready = () if rules.dead_work_is_dropped else tuple(u._replace(assigned=assigned) for u in worker.ready)
        polled = polled._replace(assigned=assigned, phase="offsets" if assigned else "none", ready=ready)
    if sending is not None and refused:
        polled = _again(polled._replace(sending=None), sending.units, rules)
    yield f"{NAMES[number]} polls", with_worker(state, number, polled)


def _again(worker: Worker, units: tuple[Unit, ...], rules: Rules) -> Worker:
    """Put what was taken back at the head of what is ready, if it still counts."""
    if not rules.aborted_goes_again:
        return worker
    kept = tuple(unit for unit in units if unit.assigned == worker.assigned or not rules.dead_work_is_dropped)
    return worker._replace(ready=(*kept, *worker.ready))


# -- restore


def _restore(state: State, number: int, rules: Rules) -> Iterator[Move]:
    worker, broker, name = state.workers[number], state.broker, NAMES[number]
    order = ("offsets", "watermark") if rules.offsets_come_first else ("watermark", "offsets")
    phase = worker.phase
    if phase in ("offsets", "watermark"):
        asked = order[0] if phase == "offsets" else order[1]  # the phases are named by the right order
        following = "watermark" if phase == "offsets" else "reading"
        if asked == "offsets":
            if rules.offsets_are_stable and brokers.pending(broker):
                return
            yield (
                f"{name} is told the offset",
                with_worker(state, number, worker._replace(phase=following, position=broker.offset)),
            )
        else:
            end = broker.end if rules.end_counts_the_open else brokers.stable(broker)
            yield (
                f"{name} is told the journal's end",
                with_worker(state, number, worker._replace(phase=following, watermark=end)),
            )
    elif phase == "reading":
        yield from _read(state, number, rules)


def _read(state: State, number: int, rules: Rules) -> Iterator[Move]:
    worker, broker = state.workers[number], state.broker
    end = brokers.stable(broker) if rules.only_committed_is_read else broker.end
    if worker.mark >= worker.watermark:
        start = worker.position
        if rules.journal_knows_the_offset:
            start = max(start, get(worker.store, "offset"))
        done = worker._replace(phase="ready", position=start, applied=start, watermark=0)
        yield f"{NAMES[number]} is restored", with_worker(state, number, done)
    elif end > worker.mark:
        rows = brokers.fold(broker, worker.mark, end, committed=rules.only_committed_is_read)
        read = worker._replace(store=put(worker.store, rows), mark=end)
        yield f"{NAMES[number]} reads its journal", with_worker(state, number, read)


# -- handlers


def _handlers(state: State, number: int, rules: Rules, submissions: int, steps: int) -> Iterator[Move]:
    worker, name = state.workers[number], NAMES[number]
    if worker.task is not None:
        done = _finish(worker, worker.task, rules)
        yield f"{name}'s effect {STEPS[worker.task.step]} ends", with_worker(state, number, done)
    if worker.phase != "ready":
        return
    if worker.position < submissions and len(worker.ready) < 2:
        yield f"{name} takes submission {worker.position} in", with_worker(state, number, _intake(worker, rules))
    yield from _effect(state, number, rules, steps)


def _intake(worker: Worker, rules: Rules) -> Worker:
    known = view(worker, strangers=not rules.dead_rows_are_unseen)
    seen = known if rules.reads_see_the_uncommitted else worker.store
    after = worker.position + 1
    rows: Rows = (("count", get(known, "count") + 1), ("offset", after))
    if not (get(seen, "submitted") and rules.known_runs_are_passed):
        rows = (*rows, ("submitted", after))
    units: tuple[Unit, ...] = (Unit(worker.assigned, rows, after),)
    if not rules.entry_with_its_offset:
        units = (Unit(worker.assigned, (), after), Unit(worker.assigned, rows, after))
    return worker._replace(position=after, ready=(*worker.ready, *units))


def _effect(state: State, number: int, rules: Rules, steps: int) -> Iterator[Move]:
    worker, truth = state.workers[number], state.truth
    known = view(worker, strangers=not rules.dead_rows_are_unseen)
    step = next((at for at in range(steps) if not get(known, STEPS[at])), None)
    if step is None or worker.task is not None:
        return
    before = "submitted" if step == 0 else STEPS[step - 1]
    seen = worker.store if rules.effects_after_commit else known
    if not get(seen, before):
        return
    owner = state.broker.owner == number and state.broker.owned == worker.assigned
    if get(truth.rows, STEPS[step]) and owner:
        truth = truth._replace(broken="what is recorded is done again")
    if step == 1:
        argument = get(known, "one")
        if get(truth.rows, "one") not in (0, argument) or truth.argument not in (0, argument):
            truth = truth._replace(broken="an effect was called with what the log never held")
        truth = truth._replace(argument=argument)
    begun = with_worker(state, number, worker._replace(task=Task(step, worker.assigned)))
    yield f"{NAMES[number]}'s effect {STEPS[step]} begins", begun._replace(truth=truth)


def _finish(worker: Worker, task: Task, rules: Rules) -> Worker:
    """Record what an effect gave; each assignment's gives another."""
    worker = worker._replace(task=None)
    if task.assigned != worker.assigned and rules.dead_work_is_dropped:
        return worker
    unit = Unit(worker.assigned, ((STEPS[task.step], task.assigned),), None)
    return worker._replace(ready=(*worker.ready, unit))


# -- the commit thread


def _requests(worker: Worker, number: int, sending: Sending) -> list[Request]:
    """Return what may be asked next: the library sends records and offsets in any order, then the commit."""
    fenced = sending.offset is not None
    kinds = {
        "begun": ["produce", "offsets"] if fenced else ["produce"],
        "offered": ["produce"],
        "produced": ["offsets"] if fenced else ["commit"],
        "staged": ["commit"],
    }
    rows: Rows = ()
    for unit in sending.units:
        rows = put(rows, unit.rows)
    made = Request("", number, worker.producer, sending.member, rows, sending.offset)
    return [made._replace(kind=kind) for kind in kinds.get(sending.stage, ())]


def _commit(state: State, number: int, rules: Rules) -> Iterator[Move]:
    worker, name = state.workers[number], NAMES[number]
    sending = worker.sending
    if sending is None:
        yield from _begin(state, number, rules)
    elif sending.stage == "unknown":
        yield from _unanswered(state, number, sending, rules)
    elif sending.stage in ("committed", "marked"):
        yield from _settle(state, number, sending, rules)
    elif sending.stage != REFUSED:
        yield from _send(state, number, sending, rules)
        if state.broker.txns[number].phase == "open" and (spent := spend(state, "aborts")) is not None:
            back = _again(worker._replace(sending=None), sending.units, rules)
            broker = brokers.abort(spent.broker, number)
            yield f"a record of {name} is refused", with_worker(spent._replace(broker=broker), number, back)


def _begin(state: State, number: int, rules: Rules) -> Iterator[Move]:
    worker = state.workers[number]
    if not worker.ready or not worker.assigned:
        return
    units = worker.ready if rules.entry_with_its_offset else worker.ready[:1]
    offsets = [unit.offset for unit in units if unit.offset is not None]
    offset = max(offsets) if offsets else worker.applied if rules.always_an_offset else None
    begun = worker._replace(ready=worker.ready[len(units) :], sending=Sending("begun", units, worker.published, offset))
    if not rules.store_after_commit:
        for unit in units:
            begun = begun._replace(store=put(begun.store, unit.rows))
    yield f"{NAMES[number]} begins a transaction", with_worker(state, number, begun)


def _send(state: State, number: int, sending: Sending, rules: Rules) -> Iterator[Move]:
    worker = state.workers[number]
    if state.broker.txns[number].phase == "committing":
        return  # the markers of the last one are still being written
    for request in _requests(worker, number, sending):
        member = request.member if rules.pair_is_one else worker.member
        if not rules.metadata_has_a_member:
            member = -1
        after, answer = brokers.ask(state, request._replace(member=member), rules)
        yield from _answered(after, number, sending, request.kind, answer)


def _answered(state: State, number: int, sending: Sending, kind: str, answer: str) -> Iterator[Move]:
    worker, name = state.workers[number], NAMES[number]
    if answer == brokers.FENCED:
        yield f"{name} is fenced and ends", with_worker(state, number, _dead(worker))
    elif answer == REFUSED:
        refused = worker._replace(sending=sending._replace(stage=REFUSED))
        aborted = state._replace(broker=brokers.abort(state.broker, number))
        yield f"{name} is refused as a member", with_worker(aborted, number, refused)
    else:
        went = sending._replace(stage=_after(sending.stage, kind))
        if kind == "produce":
            went = went._replace(at=state.broker.end - 1)
        yield f"{name}'s {kind} goes through", with_worker(state, number, worker._replace(sending=went))
        if kind == "commit" and (spent := spend(state, "lost_answers")) is not None:
            deaf = worker._replace(sending=went._replace(stage="unknown"))
            yield f"{name}'s commit goes through, the answer is lost", with_worker(spent, number, deaf)


def _after(stage: str, kind: str) -> str:
    if kind == "commit":
        return "committed"
    if stage == "begun":
        return "produced" if kind == "produce" else "offered"
    return "staged"


def _unanswered(state: State, number: int, sending: Sending, rules: Rules) -> Iterator[Move]:
    worker, name = state.workers[number], NAMES[number]
    if rules.timeout_is_no_answer:
        told = worker._replace(sending=sending._replace(stage="committed"))
        yield f"{name} asks for its commit again", with_worker(state, number, told)
    else:
        failed = _again(worker._replace(sending=None), sending.units, rules)
        yield f"{name} takes its commit for failed", with_worker(state, number, failed)


def _settle(state: State, number: int, sending: Sending, rules: Rules) -> Iterator[Move]:
    """Write the store after the commit, and tell the handlers."""
    worker, name = state.workers[number], NAMES[number]
    end = sending.at + 1
    alive = sending.units[0].assigned == worker.assigned
    applied = worker.applied if sending.offset is None or not alive else sending.offset
    settled = worker._replace(sending=None, applied=applied)
    if not alive and rules.dead_rows_are_dropped:
        yield f"{name} leaves the store to the next", with_worker(state, number, settled)
        return
    if not rules.rows_with_their_mark and sending.stage == "committed":
        marked = worker._replace(mark=end, sending=sending._replace(stage="marked"))
        yield f"{name} writes the mark", with_worker(state, number, marked)
        return
    for unit in sending.units:
        settled = settled._replace(store=put(settled.store, unit.rows))
    yield f"{name} writes its store", with_worker(state, number, settled._replace(mark=end))
