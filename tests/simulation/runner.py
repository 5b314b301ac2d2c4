"""Runs seeds in forked children of one warm process, so that each begins in the same state."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from types import FrameType

from streams.app import discover
from tests.simulation.plan import Plan, drawn
from tests.simulation.simulate import Result, simulate

_LEAVE = os._exit  # the real one, which a simulation replaces
_PARTS = ("streams.gateway.serve", "streams.worker.main", "streams.model.model_from_settings")
_CPU_S = 60.0  # processor seconds for one run
_LIMIT_S = 600.0  # real seconds for one run


def warm() -> None:
    """Import everything that a run needs, and let it be as it is in every child."""
    for name in _PARTS:
        importlib.import_module(name)
    discover(("tests.apps.simulated",))
    gc.collect()
    gc.freeze()


class Child:
    """A run in a process of its own."""

    def __init__(self, plan: Plan, mutation: str | None) -> None:
        self.plan = plan
        self.began = time.monotonic()
        self._data = b""
        self.read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write_end)
            return
        self._in_child(write_end, mutation)

    def _in_child(self, write_end: int, mutation: str | None) -> None:
        write = os.write

        def leave(result: Result) -> None:
            raw, at = pickle.dumps(result), 0
            while at < len(raw):
                at += write(write_end, raw[at : at + 65536])
            _LEAVE(0)

        def too_long(_number: int, frame: FrameType | None) -> None:
            stack = "".join(traceback.format_stack(frame)[-9:])
            leave(Result(self.plan.seed, [f"the run took {_CPU_S:g} s of processor time; it was at\n{stack}"]))

        signal.signal(signal.SIGVTALRM, too_long)
        signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_S)
        try:
            result = simulate(self.plan, mutation=mutation)
        except BaseException:  # noqa: BLE001 - it must be told to the parent
            result = Result(self.plan.seed, [f"the simulation failed: {traceback.format_exc()[-2000:]}"])
        leave(result)

    def read(self) -> Result | None:
        """Take what has come; return the result once it is whole."""
        piece = os.read(self.read_end, 1 << 20)
        if piece:
            self._data += piece
            return None
        os.close(self.read_end)
        _, status = os.waitpid(self.pid, 0)
        if not self._data:
            return Result(self.plan.seed, violations=[f"the simulation's process ended with status {status}"])
        result: Result = pickle.loads(self._data)
        return result

    def overdue(self) -> bool:
        return time.monotonic() - self.began > _LIMIT_S

    def end(self) -> Result:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.read_end)
        return Result(self.plan.seed, violations=[f"the simulation took longer than {_LIMIT_S:g} s"])


def run_one(plan: Plan, mutation: str | None = None) -> Result:
    """Run a plan in a child."""
    child = Child(plan, mutation)
    while True:
        ready, _, _ = select.select([child.read_end], [], [], 1.0)
        if ready and (result := child.read()) is not None:
            return result
        if not ready and child.overdue():
            return child.end()


class Search:
    """Runs plans beside each other and counts what they had."""

    def __init__(self, plans: Iterable[Plan], *, jobs: int, mutation: str | None = None, stop: bool = False) -> None:
        """Run `jobs` plans at a time; `stop` ends the search with the first failure."""
        self._plans = iter(plans)
        self._jobs = jobs
        self._mutation = mutation
        self._stop = stop
        self._children: dict[int, Child] = {}
        self._ended = False
        self.failed: list[Result] = []
        self.totals: Counter[str] = Counter()

    def run(self, until: float | None = None) -> None:
        """Run until the plans or the time are over."""
        began = time.monotonic()
        while self._fill(until):
            for result in self._wait():
                self._take(result)
        self.totals["real seconds"] = int(time.monotonic() - began)

    def _fill(self, until: float | None) -> bool:
        """Start runs; return whether any is under way."""
        while not self._ended and len(self._children) < self._jobs:
            plan = next(self._plans, None) if until is None or time.monotonic() < until else None
            if plan is None:
                self._ended = True
            else:
                child = Child(plan, self._mutation)
                self._children[child.read_end] = child
        return bool(self._children)

    def _wait(self) -> list[Result]:
        """Return the results that have come within a second."""
        children = self._children
        ready, _, _ = select.select(list(children), [], [], 1.0)
        done = [(end, result) for end in ready if (result := children[end].read()) is not None]
        over = {end for end, _ in done}
        done += [(end, child.end()) for end, child in children.items() if end not in over and child.overdue()]
        for end, _ in done:
            del children[end]
        return [result for _, result in done]

    def _take(self, result: Result) -> None:
        self.totals["seeds"] += 1
        self.totals["virtual seconds"] += int(result.virtual_s)
        self.totals["switches"] += result.switches
        self.totals.update({key: value for key, value in result.counts.items() if key.islower()})
        if result.violations:
            self.failed.append(result)
            print(f"seed {result.seed} fails: {result.violations[0][:1200]}", flush=True)
            self._ended = self._ended or self._stop


def run(asked: argparse.Namespace) -> int:
    """Do what the command line asks for."""
    warm()
    if asked.seed is not None:
        return _replay(_plan(asked.seed, asked), asked.mutation)
    if asked.shrink is not None:
        from tests.simulation.shrink import shrink

        shrink(_plan(asked.shrink, asked), asked.mutation)
        return 0
    until = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    start = int(time.time()) * 1000 if asked.new else asked.start
    count = asked.seeds or (10**9 if until else 10)
    seeds = range(start, start + count) if asked.list is None else asked.list
    plans = (_plan(seed, asked) for seed in seeds)
    found = Search(plans, jobs=asked.jobs, mutation=asked.mutation, stop=asked.stop)
    found.run(until)
    failed, totals = found.failed, found.totals
    for key, value in sorted(totals.items()):
        print(f"{value:10} {key}")
    seconds = max(totals["real seconds"], 1)
    print(
        f"{totals['seeds']} seeds, {len(failed)} failed; {60 * totals['seeds'] / seconds:.1f} seeds and "
        f"{totals['virtual seconds'] / 3600 / seconds * 60:.2f} virtual hours a minute"
    )
    return 1 if failed else 0


def _plan(seed: int, asked: argparse.Namespace) -> Plan:
    plan = drawn(seed, faulty=not asked.calm)
    return plan.without(quiet_s=3600 * asked.hours) if asked.hours else plan


def _replay(plan: Plan, mutation: str | None) -> int:
    print(
        f"seed {plan.seed}: {plan.workers} workers, {plan.brokers} brokers, {plan.partitions} partitions, "
        f"{plan.standbys} standbys, stages {plan.stages}"
    )
    for order in plan.orders:
        print("order", order)
    for fault in plan.faults:
        print("fault", fault)
    sys.stdout.flush()
    result = simulate(plan, printed=True, mutation=mutation)
    for line in result.violations:
        print("VIOLATION", line)
    print(
        f"digest {result.digest}; {result.virtual_s:.1f} virtual seconds in {result.real_s:.1f} s, "
        f"{result.switches} switches, {result.memory_mb:.0f} MB; {result.counts}"
    )
    sys.stdout.flush()
    _LEAVE(1 if result.violations else 0)
