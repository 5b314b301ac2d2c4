"""A replay from beginning to end: reads the stretch, runs it again, writes to the shadow, and reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from schemas.run import RunHistoryGiven, RunSubmitted
from streams import clock
from streams.engine.fork import assembled
from streams.errors import ForkError
from streams.replay.answers import CallMode
from streams.replay.bus import BusReplay
from streams.replay.errors import ReplayError
from streams.replay.log import Arrival, ReplayLog, Stretch
from streams.replay.pace import Marks, ReplayPace, side_by_side
from streams.replay.position import Position as Places
from streams.replay.recordings import Recordings
from streams.replay.repair import Repair
from streams.replay.report import ReplayReport
from streams.replay.runs import LoggedRuns, Rerun, Submission, roots
from streams.replay.shadow import Shadow
from streams.replay.waiting_events import WaitingEvents

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.engine.decision import Output
    from streams.model.chat import ChatModel
    from streams.replay.world import World
    from topics.reader import Position

_CHUNK: Final = 500  # records that are read at once, off the loop
_ABREAST: Final = 8  # runs of a partition that wait for the outside together; recorded ones wait for nothing

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it, and of how much (None: not known)."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to replay: a topic by its name without prefix, from `start` (inclusive) to `end` (exclusive).

    `agent` runs the submissions instead of the queue's own, or, for `events`, is run for what reactions start.
    `rate` is records or runs a second. `model` makes the chat model when the outside may be asked; `model_name` says
    that only answers of that model count. `in_place` repairs the topics themselves; `go_on` takes up what was stopped.
    """

    topic: str
    start: Position
    end: Position
    calls: CallMode = "recorded"
    agent: str | None = None
    rate: float | None = None
    dry_run: bool = False
    model: Callable[[], ChatModel] | None = field(default=None, repr=False)
    model_name: str | None = None
    in_place: bool = False
    go_on: bool = False

    @property
    def mode(self) -> CallMode:
        """Return whence calls are answered: a dry run asks nobody."""
        return "recorded" if self.dry_run else self.calls

    @property
    def subject(self) -> dict[str, Any]:
        """Return what makes two replays the same one."""
        return {"topic": self.topic, "agent": self.agent, "calls": self.calls, "in_place": self.in_place}


class Replay:
    """Runs a plan; `run` may be called once. Partitions go side by side, each in the order of its log."""

    def __init__(
        self,
        log: ReplayLog,
        plan: ReplayPlan,
        sink: Shadow | Repair,
        progress: Progress = lambda _what, _done, _of: None,
        position: Places | None = None,
    ) -> None:
        """Write to `sink`; with `position` it is stored how far each partition is."""
        self._log = log
        self._plan = plan
        self._sink = sink
        self._progress = progress
        self._position = position
        self._pace = ReplayPace(plan.rate)
        self._roots = 0
        self._marks = Marks(sink.flush, None if position is None else position.note)
        self.report = ReplayReport(plan.topic, plan.calls, plan.dry_run, sink.into, in_place=plan.in_place)

    def stop(self) -> None:
        """Let `run` return soon, with all that was begun done and its place noted."""
        self._pace.stop()

    async def run(self) -> ReplayReport:
        """Replay and return the report.

        Raises ReplayError for a topic that nobody handles, TopicError for one that does not exist.
        """
        began = clock.monotonic()
        try:
            name = self._agent_name()
            stretch = await self._begun(self._log.names.topic(self._plan.topic))
            if name is None:
                await self._bus(stretch)
            else:
                await self._queue(stretch, name)
            await self._sink.flush()
            self.report.stopped = self._pace.stopped
            await self._all_reached(stretch)
        finally:
            await self._sink.close()
            if self._position is not None:
                await self._position.close()
        self.report.written = +self._sink.written
        self.report.left_out.update(self._sink.left)
        self.report.seconds = clock.monotonic() - began
        return self.report

    async def _begun(self, topic: str) -> Stretch:
        """Return what is to be replayed, having looked at what a replay under this prefix has done."""
        stretch = await asyncio.to_thread(self._log.stretch, topic, self._plan.start, self._plan.end)
        if self._position is not None:
            stretch = await self._position.begin(stretch, go_on=self._plan.go_on)
        if isinstance(self._sink, Repair):
            self._sink.begin(await asyncio.to_thread(self._log.first_ms, stretch))
        elif self._position is not None and self._position.resumed:
            self._sink.resume()
        return stretch

    def _next(self, stretch: Stretch, partition: int) -> int:
        """Return the first offset that is not done yet."""
        start = stretch.start[partition]
        return start if self._position is None else self._position.next.get(partition, start)

    async def _all_reached(self, stretch: Stretch) -> None:
        if not self.report.stopped:
            for partition, end in stretch.end.items():
                await self._marks.reached(partition, end, last=True)

    def _agent_name(self) -> str | None:
        """Return whose queue the topic is, None for the bus."""
        topic, catalog = self._plan.topic, self._log.catalog
        if self._plan.agent is not None:
            catalog.agent(self._plan.agent)
            if self._plan.in_place:
                raise ReplayError("a repair in place runs what ran: another agent's runs go to a shadow (--into)")
        if topic == "events":
            return None
        kind, _, name = topic.partition(".")
        if kind != "agents" or not name:
            raise ReplayError(f"nothing handles topic {topic!r}: replay events, or agents.<name> for an agent's runs")
        if self._plan.agent is None:
            catalog.agent(name)
        return name

    # the bus

    async def _bus(self, stretch: Stretch) -> None:
        report = self.report
        bus = await asyncio.to_thread(self._made_bus, stretch)
        started: list[Submission] = []
        await side_by_side(self._bus_lane(stretch, partition, bus, started) for partition in stretch.start)
        if not self._pace.stopped:
            for at_ms, output in await bus.finish():
                await self._came(output, at_ms, started)
        report.reactions = {name: dict(counts) for name, counts in sorted(bus.counts.items())}
        report.tables = {name: len(rows) for name, rows in bus.rows.rows.items()}
        report.errors, report.misses = bus.errors, bus.misses
        report.left_out.update(bus.left_out)
        if self._pace.stopped:
            return
        for name, rows in bus.rows.rows.items():
            table = bus.rows.tables[name]
            home = f"table.{name}.v{table.version}.{table.pool}"
            for (partition, key), row in rows.items():
                await self._sink.row(home, partition, key, row)
        if started:
            await self._runs(stretch, started, dict(self._log.catalog.agents))

    def _made_bus(self, stretch: Stretch) -> BusReplay:
        outside = self._plan.mode == "live"
        if not self._plan.in_place:
            return BusReplay(self._log.catalog, self._log.codec, outside=outside)
        held = WaitingEvents(self._log, self._log.first_ms(stretch))
        return BusReplay(self._log.catalog, self._log.codec, outside=outside, held=held.why)

    async def _bus_lane(self, stretch: Stretch, partition: int, bus: BusReplay, started: list[Submission]) -> None:
        """Handle the records of a partition; those before its position bring tables and windows to where they were."""
        first = self._next(stretch, partition)
        async for arrival in self._arrivals(stretch, partition):
            offset = arrival.record.offset
            again = offset < first
            if not again and not await self._pace.turn():
                await self._marks.reached(partition, offset, last=True)
                return
            self.report.records += 1
            self._progress("events", self.report.records, stretch.length)
            for at_ms, output in await bus.handle(arrival, again=again and self._plan.agent is None):
                await self._came(output, at_ms, started)
            if not again:
                await self._marks.reached(partition, offset + 1)

    async def _came(self, output: Output, at_ms: int, started: list[Submission]) -> None:
        await self._sink.output(output, at_ms)
        if isinstance(output.event, RunSubmitted) and output.agent == self._plan.agent:
            started.append(Submission(output.event, at_ms))

    # an agent's queue

    async def _queue(self, stretch: Stretch, name: str) -> None:
        submissions: list[Submission] = []
        await side_by_side(self._submitted(stretch, partition, submissions) for partition in stretch.start)
        agents = dict(self._log.catalog.agents)
        if self._plan.agent is not None:
            agents[name] = self._log.catalog.agent(self._plan.agent)
        await self._runs(stretch, sorted(submissions, key=lambda one: one.at_ms), agents)

    async def _submitted(self, stretch: Stretch, partition: int, found: list[Submission]) -> None:
        parts: dict[str, list[str]] = {}  # of the long histories of forks
        async for arrival in self._arrivals(stretch, partition):
            self.report.records += 1
            self._progress("submissions", self.report.records, stretch.length)
            record, event = arrival.record, arrival.event
            if isinstance(event, RunHistoryGiven):
                parts.setdefault(event.run_id, []).append(event.text)
            elif isinstance(event, RunSubmitted):
                if event.history_parts is not None:
                    try:
                        event = assembled(event, parts.pop(event.run_id, []))
                    except ForkError:  # the stretch begins between the parts
                        self.report.left_out["a fork whose history is not in the stretch"] += 1
                        continue
                found.append(Submission(event, record.timestamp, partition, record.offset))
            else:
                self.report.left_out["not a submission" if arrival.error is None else "undecodable"] += 1

    async def _runs(self, stretch: Stretch, submissions: list[Submission], agents: dict[str, Agent[Any, Any]]) -> None:
        """Run submissions again and report each; all that the log holds of them is read before."""
        left_to_do = [one for one in submissions if self._to_do(stretch, one)]
        if len(left_to_do) < len(submissions):
            self.report.left_out["done before"] = len(submissions) - len(left_to_do)
        if not left_to_do:
            return
        known = await asyncio.to_thread(self._known, submissions)
        tops, left = roots(submissions, known.runs)
        self.report.left_out.update(left)
        rerun = Rerun(agents, known, self._plan.mode, self._plan.model)
        lanes: dict[int, list[Submission]] = {}
        for one in tops:
            if self._to_do(stretch, one):
                lanes.setdefault(one.partition, []).append(one)
        for lane in lanes.values():
            lane.sort(key=lambda one: one.offset or 0)  # stable: what is not on the log keeps its order
        of = sum(map(len, lanes.values()))
        await side_by_side(self._run_lane(lane, rerun, of) for lane in lanes.values())

    def _to_do(self, stretch: Stretch, one: Submission) -> bool:
        return one.offset is None or one.offset >= self._next(stretch, one.partition)

    async def _run_lane(self, lane: list[Submission], rerun: Rerun, of: int) -> None:
        abreast = 1 if self._plan.mode == "recorded" else _ABREAST
        for first in range(0, len(lane), abreast):
            group = lane[first : first + abreast]
            for number in range(len(group)):
                if not await self._pace.turn():
                    group = group[:number]
                    break
            for reports, world in await asyncio.gather(*(rerun.root(one) for one in group)):
                self.report.runs += reports
                self.report.misses += world.misses
                await self._write(world)
                self._roots += 1
            self._progress("runs", self._roots, of)
            if group and group[-1].offset is not None:
                await self._marks.reached(group[-1].partition, group[-1].offset + 1, last=self._pace.stopped)
            if self._pace.stopped:
                return
            await asyncio.sleep(0)  # a recorded run waits for nothing, and the other lanes for their turn

    def _known(self, submissions: list[Submission]) -> LoggedRuns:
        since = min(one.at_ms for one in submissions)
        self._progress("reading journals", 0, None)
        runs = self._log.runs([one.event.run_id for one in submissions], since)
        recordings = Recordings(model=self._plan.model_name)
        if self._plan.mode != "live":
            for number, call in enumerate(self._log.calls(since)):
                recordings.add(call)
                if number % _CHUNK == 0:
                    self._progress("reading calls", number, None)
        return LoggedRuns(runs, recordings)

    async def _write(self, world: World) -> None:
        for at_ms, output in world.outputs:
            await self._sink.output(output, at_ms)
        for machine in world.machines.values():
            for entry in machine.journal.entries:
                await self._sink.entry(machine.agent.pool, entry)

    async def _arrivals(self, stretch: Stretch, partition: int) -> AsyncIterator[Arrival]:
        """Yield decoded records; they are read and decoded in chunks in a thread."""
        records = self._log.records(stretch, partition)
        while chunk := await asyncio.to_thread(self._chunk, records):
            for arrival in chunk:
                yield arrival

    def _chunk(self, records: Iterator[Any]) -> list[Arrival]:
        return [self._log.arrival(record) for record in islice(records, _CHUNK)]
