"""Measures the stateful reaction for minutes on end, its memory with it, beside others, and on 64 partitions beside 4.

`uv run python -m benchmarks.sustained --seconds 300` starts the embedded Kafka. The topic is filled before, with what
a short run says that the engine will do in that time: at 140,000 events/s that is 24 GB of events and 24 GB of outputs.
`--beside 60` then takes the others in turn for so many seconds each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import psutil

from benchmarks.payload import PARTITIONS
from benchmarks.stateful_reaction import ENGINES, Result, cluster, measure

WIDE = 64


class Memory:
    """The resident memory of an engine over the time."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []

    def look(self, pid: int) -> None:
        """Take a sample of the process and those below it, in MiB."""
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        self.samples.append((time.monotonic(), sum(member.memory_info().rss for member in family) / 2**20))

    def at(self, share: float) -> float:
        """Return the median around a point of the time, from 0 to 1."""
        begun, ended = self.samples[0][0], self.samples[-1][0]
        middle, width = begun + (ended - begun) * share, (ended - begun) * 0.05
        return statistics.median(size for moment, size in self.samples if abs(moment - middle) <= width)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison of 4 and 64 partitions")
    parser.add_argument("--beside", type=float, help="seconds of each of the others; default: they are left out")
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with cluster(options.bootstrap) as bootstrap:
        ours = sustained(bootstrap, "streams", partitions(bootstrap, options.repeats), options.seconds)
        for engine in ENGINES if options.beside else ():
            if engine != "streams":
                rate = measure(bootstrap, engine, "raw", None).rate
                other = sustained(bootstrap, engine, rate, options.beside)
                print(f"streams is {ours.rate / other.rate:.1f} times as fast as {engine}", flush=True)


def sustained(bootstrap: str, engine: str, rate: float, seconds: float) -> Result:
    """Measure an engine for some `seconds`, at `rate` events/s, and print what it did and held."""
    memory = Memory()
    wanted = int(rate * seconds)
    result = measure(bootstrap, engine, "raw", wanted, limit=seconds * 3, look=memory.look)
    print(
        f"{engine}, {wanted:,} events: {result.rate:,.0f} events/s over {wanted / result.rate:.0f} s, "
        f"{result.cpu_us:.0f} us CPU an event; lost {result.lost}, repeated {result.repeated}, wrong {result.wrong}; "
        f"MiB after 20, 60 and 95 % of the time: {memory.at(0.2):.0f}, {memory.at(0.6):.0f}, {memory.at(0.95):.0f}",
        flush=True,
    )
    return result


def partitions(bootstrap: str, repeats: int) -> float:
    """Print what 64 partitions cost beside 4, and return the events a second on 4."""
    costs: dict[int, list[float]] = {PARTITIONS: [], WIDE: []}
    rates: dict[int, list[float]] = {PARTITIONS: [], WIDE: []}
    for _ in range(repeats):
        for number, cpu in costs.items():
            result = measure(bootstrap, "streams", "raw", None, partitions=number)
            cpu.append(result.cpu_us)
            rates[number].append(result.rate)
    for number, found in rates.items():
        print(
            f"{number:>3} partitions: {statistics.median(found):,.0f} events/s, "
            f"{statistics.median(costs[number]):.1f} us CPU an event",
            flush=True,
        )
    cost = statistics.median(costs[WIDE]) / statistics.median(costs[PARTITIONS])
    slow = statistics.median(rates[PARTITIONS]) / statistics.median(rates[WIDE])
    print(f"{WIDE} partitions cost {cost:.2f} times the CPU and {slow:.2f} times the time of {PARTITIONS}", flush=True)
    return statistics.median(rates[PARTITIONS])


if __name__ == "__main__":
    main()
