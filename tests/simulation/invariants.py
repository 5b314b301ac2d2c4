"""What must hold: while a run goes on, and at its end by what lies on the log."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from streams.query.codec import codec_of
from tests.apps.simulated.effects import LOG, Effect
from tests.apps.simulated.events import Answered, Noted
from tests.simulation.client import TERMINAL, Client, Promise
from tests.simulation.kafka.partition_log import LogRecord
from tests.simulation.world import World
from topics.names import Names

_NARROW = 2
_PACED = 5
_PACED_S = 10.0
EPOCH_S = 1_767_225_600.0


class Invariants:
    """The checks of one run; what is violated is collected."""

    def __init__(self, world: World, client: Client) -> None:
        self._world = world
        self._client = client
        self.violations: list[str] = client.violations
        self._names = Names("")
        self._codec = codec_of(world.settings(), world.catalog)
        LOG.on_begin = self._began

    def violated(self, text: str) -> None:
        """Note a violation."""
        line = f"{self._world.scheduler.now:.3f} s: {text}"
        self.violations.append(line)
        self._world.trace.note("VIOLATION", line)

    # -- while it goes on

    def _began(self, effect: Effect) -> None:
        if effect.name == "narrow":
            self._at_once("narrow", _NARROW)
        elif effect.name == "paced":
            self._window()

    def _at_once(self, name: str, most: int) -> None:
        now = [one for one in LOG.active.values() if one.name == name and not self._was_disturbed(one)]
        if len(now) > most:
            self.violated(
                f"{len(now)} calls of {name} at once, and {most} are allowed: {[one.arguments for one in now]}"
            )

    def _window(self) -> None:
        end = LOG.effects[-1].began
        begun = [
            one
            for one in LOG.effects
            if one.name == "paced" and one.began > end - _PACED_S and not self._was_disturbed(one)
        ]
        if len(begun) > _PACED:
            self.violated(f"{len(begun)} calls of paced within {_PACED_S:g} s, and {_PACED} are allowed")

    def _was_disturbed(self, effect: Effect) -> bool:
        """Tell whether the effect's process was stopped or cut off around it: what it held may be given to others."""
        now = self._world.scheduler.now
        names = {process.pid: process.name for process in self._world.scheduler.processes}
        return any(
            name == names.get(effect.process) and begin - 1 <= (effect.ended or now) and effect.began <= end + 10
            for begin, end, name in self._world.disturbed
        )

    # -- at the end, by questions

    async def settled(self) -> list[str]:
        """Return what is not at rest, or not ready."""
        world, open_work = self._world, []
        said = await self._client.ask("GET", "/readyz")
        if said is None or said.status != 200:
            open_work.append(f"the gateway is not ready: {None if said is None else said.body[:300]!r}")
        open_work += [f"worker {one.slot} does not run" for one in world.machines if one.process is None]
        for promise in self._client.promises:
            if promise.order.kind == "event":
                continue
            await self._client._look(promise)
            if promise.seen not in TERMINAL:
                open_work.append(f"run {promise.run_id} is {promise.seen or 'unknown'}")
        open_work += self._lags()
        return open_work

    def _lags(self) -> list[str]:
        cluster = self._world.kafka.cluster
        group = cluster.groups.groups.get("streams.default")
        found = []
        sources = [self._names.agents(name) for name in self._world.catalog.agents]
        for topic in [*sources, self._names.signals, self._names.events]:
            for number, state in enumerate(cluster.topics.topics[topic].partitions):
                committed = None if group is None else group.offsets.get((topic, number))
                last = max((at for at, _ in self._committed(topic, number)), default=-1)
                if last >= 0 and (committed is None or committed.offset <= last):
                    found.append(f"{topic}/{number} is read to {committed and committed.offset} of {last + 1}")
                if state.log.stable_end != state.log.end:
                    found.append(f"{topic}/{number} has an open transaction")
        return found

    async def rows(self) -> None:
        """Compare the tables with the fold of the log."""
        for table, event in (("noted", Noted), ("answered", Answered)):
            expected = self._fold(event)
            for key, row in sorted(expected.items()):
                said = await self._client.ask("GET", f"/tables/{table}/{key}")
                found = None if said is None or said.status != 200 else said.json()
                value = None if found is None else found.get("value", found.get("row", found))
                if value is None or (value.get("events"), value.get("total")) != row:
                    self.violated(f"table {table} has {value} for {key}, and the log gives {row}")

    def _fold(self, event: type[Any]) -> dict[str, tuple[int, int]]:
        rows: dict[str, tuple[int, int]] = {}
        for _, made in self._events(event):
            events, total = rows.get(made.name, (0, 0))
            rows[made.name] = (events + 1, total + made.amount)
        return rows

    def _events(self, event: type[Any]) -> list[tuple[str, Any]]:
        """Return the events of a type on the bus with their ids, each once."""
        seen: set[str] = set()
        found = []
        for record in self._records(self._names.events):
            about = {name: value.decode() for name, value in record.headers if value is not None}
            if about.get("ce_type") != event.event_type or about["ce_id"] in seen:
                continue
            seen.add(about["ce_id"])
            found.append((about["ce_id"], self._codec.decode(record.value, event)))
        return found

    # -- at the end, by the log

    def by_log(self) -> None:
        """Check what lies on the log."""
        self._acknowledged_events()
        self._reactions()
        self._endings()
        self._effects()
        for promise in self._client.promises:
            self._ended_well(promise)
        letters = self._records(self._names.dead_letters)
        for letter in letters:
            about = dict(letter.headers)
            self.violated(f"a dead letter: {about.get('ce_type')!r} {letter.value!r:.300}")

    def _acknowledged_events(self) -> None:
        written = {id for id, _ in self._events(Noted)}
        for promise in self._client.promises:
            if promise.order.kind == "event" and promise.accepted and promise.event_id not in written:
                self.violated(f"event {promise.event_id} was acknowledged and is lost")

    def _reactions(self) -> None:
        """Each event has one answer, with its amount."""
        noted = Counter((made.name, made.amount) for _, made in self._events(Noted))
        raw = [
            record
            for record in self._records(self._names.events)
            if dict(record.headers).get("ce_type") == Answered.event_type.encode()
        ]
        ids = Counter(dict(record.headers)["ce_id"] for record in raw)
        for id, count in ids.items():
            if count > 1:
                self.violated(f"the output {id!r} was committed {count} times")
        answered = Counter((made.name, made.amount) for _, made in self._events(Answered))
        if noted != answered:
            self.violated(f"noted but not answered: {noted - answered}; answered but not noted: {answered - noted}")

    def _endings(self) -> None:
        ids: Counter[bytes] = Counter()
        started: Counter[bytes] = Counter()
        for record in self._records(self._names.runs):
            about = dict(record.headers)
            ids[about["ce_id"] or b""] += 1
            if about["ce_type"] in (b"run.succeeded", b"run.failed", b"run.cancelled"):
                started[record.key or b""] += 1
        for id, count in ids.items():
            if count > 1:
                self.violated(f"record {id!r} of a run was committed {count} times")
        for run, count in started.items():
            if count > 1:
                self.violated(f"run {run!r} has {count} endings")

    def _ended_well(self, promise: Promise) -> None:
        order = promise.order
        if order.kind == "event" or not promise.accepted:
            return
        wanted = {"succeeded", "cancelled"} if order.kind == "cancel" else {"succeeded"}
        if promise.seen in TERMINAL and promise.seen not in wanted:
            self.violated(f"run {promise.run_id} {promise.seen}")

    def _effects(self) -> None:
        """Check that a key has the same arguments each time, and is used again only for a failure or a lost process."""
        by_key: dict[tuple[str, str], list[Effect]] = defaultdict(list)
        for effect in LOG.effects:
            by_key[effect.name, effect.key].append(effect)
        troubled = bool(self._world.plan.faults or self._world.plan.stages)
        for (name, key), effects in by_key.items():
            if len({effect.arguments for effect in effects}) > 1:
                self.violated(f"{name} {key} was called with {sorted({effect.arguments for effect in effects})}")
            if not key and name != "model":
                self.violated(f"{name} had no idempotency key")
            if name != "model" and len(effects) > 1 and not troubled and not self._world.effects_fail:
                self.violated(f"{name} {key} was executed {len(effects)} times without any fault")

        self._recorded_once(by_key)

    def _recorded_once(self, by_key: dict[tuple[str, str], list[Effect]]) -> None:
        """Check that nothing recorded is executed again, and the rest at most once for each loss of an owner."""
        world = self._world
        recorded: dict[bytes, float] = {}
        topic = world.kafka.cluster.topics.topics[self._names.journal("default")]
        for state in topic.partitions:
            for batch in state.log._batches:
                if batch.marker is None and not (batch.transactional and state.log._is_aborted(batch)):
                    for _, record in batch.records:
                        recorded[record.key or b""] = batch.appended_ms / 1000 - EPOCH_S
        losses = len(world.ends) + world.kafka.cluster.groups.rebalances + len(world.disturbed)
        for (name, key), effects in by_key.items():
            run_id, _, rest = key.partition("/")
            path = rest.rpartition("/")[0]
            at = recorded.get(f"r/{run_id}/{path}/0".encode())
            late = [
                one for one in effects if at is not None and one.began > at + 0.002 and not self._was_disturbed(one)
            ]
            if late:
                self.violated(f"{name} {key} was recorded at {at:.3f} s and executed again at {late[0].began:.3f} s")
            failures = sum(one.failed for one in effects)
            if len(effects) > 1 + losses + failures:
                self.violated(f"{name} {key} was executed {len(effects)} times: {failures} failed, {losses} losses")

    def _records(self, topic: str) -> list[LogRecord]:
        partitions = self._world.kafka.cluster.topics.topics[topic].partitions
        return [record for number in range(len(partitions)) for _, record in self._committed(topic, number)]

    def _committed(self, topic: str, number: int) -> list[tuple[int, LogRecord]]:
        log = self._world.kafka.cluster.topics.topics[topic].partitions[number].log
        found, at = [], log.start
        while at < log.stable_end:
            read = log.read(at, committed=True, limit=100_000, max_bytes=1 << 40)
            found += read.records
            if read.following <= at:
                break
            at = read.following
        return found
