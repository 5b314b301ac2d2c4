"""Shows that a run costs bytes in proportion to its steps, on the log and on the worker's disk.

`uv run python -m benchmarks.run_growth` starts the embedded Kafka and one worker process.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.runs import PARTITIONS, Bench
from benchmarks.stateful_reaction import cluster
from schemas.run import RunSubmitted


async def main() -> None:
    """Run agents of more and more steps; print what each added."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 100, 1_000, 3_000])
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"growth{int(time.time())}", folder)
        log = Journal(bootstrap, bench.names.journal("default"))
        try:
            await bench.prepare()
            log.added("")
            for steps in options.steps:
                before, begun = disk(Path(folder)), time.perf_counter()
                run_id = f"steps-{steps}"
                event = RunSubmitted(run_id=run_id, agent="many_steps", input={"value": steps})
                await bench.producer.send(bench.names.agents("many_steps"), event)
                await asyncio.to_thread(bench.ended, {run_id})
                took = time.perf_counter() - begun
                records, size = await asyncio.to_thread(log.added, run_id)
                print(
                    f"{steps} steps: {records} records, {size:,} bytes on the log, {size / steps:,.0f} a step; "
                    f"{disk(Path(folder)) - before:,} bytes on disk (write-ahead log included); {took:.2f} s",
                    flush=True,
                )
        finally:
            log.close()
            await bench.close()


class Journal:
    """Reads the journal's records."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Begin at its beginning."""
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "growth", "enable.auto.commit": False})
        self._places = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        self._assigned = False

    def added(self, run_id: str) -> tuple[int, int]:
        """Read on to the end; return records and bytes (keys and values) of a run."""
        if not self._assigned:
            self._consumer.assign(self._places)
            self._assigned = True
        records = size = quiet = 0
        prefix = f"r/{run_id}/".encode()
        while quiet < 5:
            messages = self._consumer.consume(2000, 0.2)
            quiet = 0 if messages else quiet + 1
            for message in messages:
                if run_id and (message.key() or b"").startswith(prefix):
                    records += 1
                    size += len(message.key() or b"") + len(message.value() or b"")
        return records, size

    def close(self) -> None:
        """Close the reader."""
        self._consumer.close()


def disk(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "worker.log")


if __name__ == "__main__":
    asyncio.run(main())
