"""Measures thousands of model calls that wait at once in one process, because that is what a worker mostly does.

    python benchmarks/waiting_calls.py --calls 5000 --wait 30

An endpoint on loopback, in a process of its own, answers each call after the wait (4 kB in, 1.5 kB out). Printed are
the wall time against the ideal (the wait itself), the lag of the client's event loop while the calls start, wait and
end, the memory for each waiting call, and the CPU time for each call. `benchmarks.waiting_asks` has the same for runs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.endpoint import ANSWER, endpoint, more_files
from streams.model.chat import ChatRequest, Message
from streams.model.openai_chat import OpenAIChat

QUESTION = "x" * 4_000
TICK = 0.01  # seconds between two looks at the loop


def resident_kb() -> int:
    """Return this process's resident memory in kB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


class Lag:
    """How late the loop comes back to a timer, sampled all the time; what a heartbeat would feel."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.peak_kb = 0

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            self.late.append(max(time.perf_counter() - due, 0.0))
            self.peak_kb = max(self.peak_kb, resident_kb())

    def at(self, share: float) -> float:
        """Return the lag in milliseconds that `share` of the samples stay below."""
        ordered = sorted(self.late)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


async def measure(port: int, calls: int, wait: float) -> None:
    """Make the calls at once and print what they cost."""
    request = ChatRequest((Message("user", QUESTION),))
    async with OpenAIChat(f"http://127.0.0.1:{port}/v1", "none", "m", timeout=wait * 10 + 60) as model:
        await model.complete(request)  # connections, imports and caches of the first call are not the subject
        gc.freeze()  # as our processes do once they are up: what is loaded by now stays
        gc.set_threshold(10_000, 20, 20)
        lag = Lag()
        watching = asyncio.create_task(lag.watch())
        before_kb, cpu, begun = resident_kb(), time.process_time(), time.perf_counter()
        answers = await asyncio.gather(*(model.complete(request) for _ in range(calls)))
        wall, spent = time.perf_counter() - begun, time.process_time() - cpu
        watching.cancel()
    assert all(answer.text == ANSWER for answer in answers)
    print(
        f"{calls:,} calls waiting {wait:g} s: wall {wall:.2f} s = {wall / wait:.2f} x ideal; "
        f"loop lag p50 {lag.at(0.5):.1f}, p99 {lag.at(0.99):.0f}, max {lag.at(1.0):.0f} ms; "
        f"{(lag.peak_kb - before_kb) / calls:.1f} kB and {spent / calls * 1000:.2f} ms of CPU a call"
    )


def main() -> None:
    """Run the endpoint and the measurement."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=5_000)
    options.add_argument("--wait", type=float, default=30.0, help="seconds")
    chosen = options.parse_args()
    more_files()
    with endpoint(chosen.wait) as port:
        asyncio.run(measure(port, chosen.calls, chosen.wait))


if __name__ == "__main__":
    main()
