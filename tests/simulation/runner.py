"""Runs seeds in forked children of one warm process, so that each begins in the same state."""

from __future__ import annotations

import argparse
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections import Counter
from types import FrameType
from typing import Any

from tests.simulation.plan import Plan, drawn
from tests.simulation.simulate import Result, simulate

_LEAVE = os._exit  # the real one, which a simulation replaces
_CPU_S = 60.0  # processor seconds for one run
_LIMIT_S = 600.0  # real seconds for one run


def warm() -> None:
    """Import everything that a run needs, and let it be as it is in every child."""
    import gc

    import streams.gateway.serve
    import streams.model.model_from_settings
    import streams.worker.main
    from streams.app import discover
    from tests.simulation import client, faults, invariants, mutations, world  # noqa: F401

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


def search(
    plans: Any, jobs: int, until: float | None, mutation: str | None = None, stop: bool = False, told: bool = True
) -> tuple[list[Result], Counter[str]]:
    """Run plans beside each other; return those that failed, and the counts of what all runs had."""
    children: dict[int, Child] = {}
    failed: list[Result] = []
    totals: Counter[str] = Counter()
    plans = iter(plans)
    ended = False
    began = time.monotonic()
    while True:
        while not ended and len(children) < jobs:
            plan = next(plans, None) if until is None or time.monotonic() < until else None
            if plan is None:
                ended = True
                break
            child = Child(plan, mutation)
            children[child.read_end] = child
        if not children:
            break
        ready, _, _ = select.select(list(children), [], [], 1.0)
        done: list[Result] = []
        for end in ready:
            result = children[end].read()
            if result is not None:
                del children[end]
                done.append(result)
        for end, child in list(children.items()):
            if child.overdue():
                del children[end]
                done.append(child.end())
        for result in done:
            totals["seeds"] += 1
            totals["virtual seconds"] += int(result.virtual_s)
            totals["switches"] += result.switches
            totals.update({key: value for key, value in result.counts.items() if key.islower()})
            if result.violations:
                failed.append(result)
                if told:
                    print(f"seed {result.seed} fails: {result.violations[0][:1200]}", flush=True)
                ended = ended or stop
    totals["real seconds"] = int(time.monotonic() - began)
    return failed, totals


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
    failed, totals = search(plans, asked.jobs, until, asked.mutation, asked.stop)
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
    print(f"seed {plan.seed}: {plan.workers} workers, {plan.brokers} brokers, {plan.partitions} partitions, "
          f"{plan.standbys} standbys, stages {plan.stages}")
    for order in plan.orders:
        print("order", order)
    for fault in plan.faults:
        print("fault", fault)
    sys.stdout.flush()
    result = simulate(plan, printed=True, mutation=mutation)
    for line in result.violations:
        print("VIOLATION", line)
    print(f"digest {result.digest}; {result.virtual_s:.1f} virtual seconds in {result.real_s:.1f} s, "
          f"{result.switches} switches, {result.memory_mb:.0f} MB; {result.counts}")
    sys.stdout.flush()
    _LEAVE(1 if result.violations else 0)
