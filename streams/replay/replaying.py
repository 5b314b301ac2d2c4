"""A replay from beginning to end: reads the stretch, runs it again, writes to the shadow, and reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
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
from streams.replay.log import Arrival, Log, Stretch
from streams.replay.recordings import Recordings
from streams.replay.report import Report
from streams.replay.runs import Known, Rerun, Submission, roots
from streams.replay.shadow import Shadow

if TYPE_CHECKING:
    from streams.define.agents import Agent
    from streams.model.chat import ChatModel
    from streams.replay.world import World
    from topics.reader import Position

_CHUNK: Final = 500  # records that are read at once, off the loop
_ABREAST: Final = 8  # runs that wait for the outside together; recorded ones wait for nothing

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how much of it, and of how much (None: not known)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to replay: a topic by its name without prefix, from `start` (inclusive) to `end` (exclusive).

    `agent` runs the submissions instead of the queue's own, or, for `events`, is run for what reactions start.
    `rate` is records or runs a second. `model` makes the chat model when the outside may be asked; `model_name` says
    that only answers of that model count.
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

    @property
    def mode(self) -> CallMode:
        """Return whence calls are answered: a dry run asks nobody."""
        return "recorded" if self.dry_run else self.calls


class Replay:
    """Runs a plan; `run` may be called once."""

    def __init__(
        self, log: Log, plan: Plan, shadow: Shadow, progress: Progress = lambda _what, _done, _of: None
    ) -> None:
        self._log = log
        self._plan = plan
        self._shadow = shadow
        self._progress = progress
        self.report = Report(plan.topic, plan.calls, plan.dry_run, shadow.into)

    async def run(self) -> Report:
        """Replay and return the report.

        Raises ReplayError for a topic that nobody handles, TopicError for one that does not exist.
        """
        name = self._agent_name()
        topic = self._log.names.topic(self._plan.topic)
        stretch = await asyncio.to_thread(self._log.stretch, topic, self._plan.start, self._plan.end)
        began = clock.monotonic()
        try:
            if name is None:
                await self._bus(stretch)
            else:
                await self._queue(stretch, name)
            await self._shadow.flush()
        finally:
            await self._shadow.close()
        self.report.written = self._shadow.written
        self.report.seconds = clock.monotonic() - began
        return self.report

    def _agent_name(self) -> str | None:
        """Return whose queue the topic is, None for the bus."""
        topic, catalog = self._plan.topic, self._log.catalog
        if self._plan.agent is not None:
            catalog.agent(self._plan.agent)
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
        bus = BusReplay(self._log.catalog, self._log.codec, outside=self._plan.mode == "live")
        started: list[Submission] = []
        pace = _Pace(self._plan.rate)
        async for arrival in self._arrivals(stretch):
            await pace.turn()
            report.records += 1
            self._progress("events", report.records, stretch.length)
            for at_ms, output in await bus.handle(arrival):
                await self._shadow.output(output, at_ms)
                if isinstance(output.event, RunSubmitted) and output.agent == self._plan.agent:
                    started.append(Submission(output.event, at_ms))
        for at_ms, output in await bus.finish():
            await self._shadow.output(output, at_ms)
        report.reactions = {name: dict(counts) for name, counts in sorted(bus.counts.items())}
        report.tables = {name: len(rows) for name, rows in bus.rows.rows.items()}
        report.errors, report.misses = bus.errors, bus.misses
        report.left_out.update(bus.left_out)
        for name, rows in bus.rows.rows.items():
            table = bus.rows.tables[name]
            home = f"table.{name}.v{table.version}.{table.pool}"
            for (partition, key), row in rows.items():
                await self._shadow.row(home, partition, key, row)
        if started:
            await self._runs(started, dict(self._log.catalog.agents))

    # an agent's queue

    async def _queue(self, stretch: Stretch, name: str) -> None:
        submissions = []
        parts: dict[str, list[str]] = {}  # of the long histories of forks
        async for arrival in self._arrivals(stretch):
            self.report.records += 1
            self._progress("submissions", self.report.records, stretch.length)
            event = arrival.event
            if isinstance(event, RunHistoryGiven):
                parts.setdefault(event.run_id, []).append(event.text)
            elif isinstance(event, RunSubmitted):
                if event.history_parts is not None:
                    try:
                        event = assembled(event, parts.pop(event.run_id, []))
                    except ForkError:  # the stretch begins between the parts
                        self.report.left_out["a fork whose history is not in the stretch"] += 1
                        continue
                submissions.append(Submission(event, arrival.record.timestamp))
            else:
                self.report.left_out["not a submission" if arrival.error is None else "undecodable"] += 1
        agents = dict(self._log.catalog.agents)
        if self._plan.agent is not None:
            agents[name] = self._log.catalog.agent(self._plan.agent)
        await self._runs(submissions, agents)

    async def _runs(self, submissions: list[Submission], agents: dict[str, Agent[Any, Any]]) -> None:
        """Run submissions again and report each; all that the log holds of them is read before."""
        if not submissions:
            return
        report = self.report
        known = await asyncio.to_thread(self._known, submissions)
        tops, left = roots(submissions, known.runs)
        report.left_out.update(left)
        rerun = Rerun(agents, known, self._plan.mode, self._plan.model)
        pace = _Pace(self._plan.rate)
        abreast = 1 if self._plan.mode == "recorded" else _ABREAST
        for first in range(0, len(tops), abreast):
            group = tops[first : first + abreast]
            for _ in group:
                await pace.turn()
            for reports, world in await asyncio.gather(*(rerun.root(one) for one in group)):
                report.runs += reports
                report.misses += world.misses
                await self._write(world)
            self._progress("runs", first + len(group), len(tops))

    def _known(self, submissions: list[Submission]) -> Known:
        since = min(one.at_ms for one in submissions)
        self._progress("reading journals", 0, None)
        runs = self._log.runs([one.event.run_id for one in submissions], since)
        recordings = Recordings(model=self._plan.model_name)
        if self._plan.mode != "live":
            for number, call in enumerate(self._log.calls(since)):
                recordings.add(call)
                if number % _CHUNK == 0:
                    self._progress("reading calls", number, None)
        return Known(runs, recordings)

    async def _write(self, world: World) -> None:
        for at_ms, output in world.outputs:
            await self._shadow.output(output, at_ms)
        for machine in world.machines.values():
            for entry in machine.journal.entries:
                await self._shadow.entry(machine.agent.pool, entry)

    async def _arrivals(self, stretch: Stretch) -> Any:
        """Yield decoded records; they are read and decoded in chunks in a thread."""
        records = self._log.records(stretch)
        while chunk := await asyncio.to_thread(self._chunk, records):
            for arrival in chunk:
                yield arrival

    def _chunk(self, records: Iterator[Any]) -> list[Arrival]:
        return [self._log.arrival(record) for record in islice(records, _CHUNK)]


class _Pace:
    """Lets through so many a second, evenly."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 0.0 if rate is None else 1 / rate
        self._next = clock.monotonic()

    async def turn(self) -> None:
        """Wait until it is the next one's time."""
        if self._gap:
            wait = self._next - clock.monotonic()
            self._next = max(self._next, clock.monotonic()) + self._gap
            if wait > 0:
                await asyncio.sleep(wait)  # the time itself is what is waited for
