"""Finds a smaller plan that still fails in the same way: fewer faults, orders, processes and brokers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.plan import Plan
from tests.simulation.runner import run_one
from tests.simulation.simulate import Result


def shrink(plan: Plan, mutation: str | None = None, *, most: int = 200) -> Plan:
    """Print and return the smallest plan that was found."""
    first = run_one(plan, mutation)
    if not first.violations:
        print(f"seed {plan.seed} does not fail")
        return plan
    wanted = kinds(first)
    print(f"seed {plan.seed} fails by {sorted(wanted)}")
    left = [most]

    def fails(smaller: Plan) -> bool:
        left[0] -= 1
        return left[0] >= 0 and bool(kinds(run_one(smaller, mutation)) & wanted)

    for name in ("faults", "stages", "orders"):
        plan = _fewer(plan, name, fails)
    for changes in ({"standbys": 0}, {"workers": 1}, {"workers": 2}, {"brokers": 1}, {"partitions": 1}):
        smaller = plan.without(**changes)
        if smaller != plan and all(getattr(plan, key) > value for key, value in changes.items()) and fails(smaller):
            plan = smaller
    plan = _fewer(plan, "orders", fails)
    print(
        f"{most - left[0]} runs: {plan.workers} workers, {plan.brokers} brokers, {plan.partitions} partitions, "
        f"{plan.standbys} standbys, stages {plan.stages}"
    )
    for part in (*plan.orders, *plan.faults):
        print("   ", part)
    for line in run_one(plan, mutation).violations:
        print("VIOLATION", line)
    return plan


def kinds(result: Result) -> set[str]:
    """Return what was violated, without numbers and names."""
    return {re.sub(r"[-\d.]+ s: |\d[\w.~-]*|'[^']*'|\b\w+-#", "#", line)[:60] for line in result.violations}


def _fewer(plan: Plan, name: str, fails: Callable[[Plan], bool]) -> Plan:
    """Leave out as much of a part of the plan as can be, first much at once."""
    parts: Sequence[Any] = getattr(plan, name)
    size = len(parts)
    while size >= 1:
        at = 0
        while at < len(parts):
            smaller = plan.without(**{name: (*parts[:at], *parts[at + size :])})
            if fails(smaller):
                plan, parts = smaller, getattr(smaller, name)
            else:
                at += size
        size //= 2
    return plan
