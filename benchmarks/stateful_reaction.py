"""Measures one stateful reaction side by side: read a counter of the key, write it, republish; events a second and CPU.

`uv run python -m benchmarks.stateful_reaction` starts the embedded Kafka; `--bootstrap` takes another.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from benchmarks.payload import KEYS, PARTITIONS, Format, count_of, event, key

ENGINES = {
    "faust": "benchmarks.peers.bare_faust",
    "quix": "benchmarks.peers.quix_streams",
    "quix-eos": "benchmarks.peers.quix_exactly_once",
    "kafka-streams": "benchmarks.peers.kafka_streams",
    "streams": "benchmarks.peers.ours",
}
LIMIT = 300.0
"""Seconds after which a run that has not finished counts as failed."""


class Result(NamedTuple):
    """What one run showed."""

    rate: float
    cpu_us: float
    lost: int
    repeated: int
    wrong: int


def main() -> None:
    """Measure what the command line asks for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--formats", nargs="+", default=["raw", "avro"], choices=["raw", "avro"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--events", type=int, help="events a run; default: what takes an engine some ten seconds")
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap:
        print(
            f"{'engine':<14}{'format':<8}{'events/s':>10}{'CPU us':>8}{'lost':>6}{'repeated':>9}{'wrong':>6}",
            flush=True,
        )
        rates: dict[tuple[str, str], list[float]] = {}
        for fmt in options.formats:
            for _ in range(options.repeats):
                for engine in able(
                    options.engines, fmt
                ):  # taken in turn, so that a slow minute of the machine hits all
                    result = measure(bootstrap, engine, fmt, options.events)
                    rates.setdefault((engine, fmt), []).append(result.rate)
                    print(
                        f"{engine:<14}{fmt:<8}{result.rate:>10,.0f}{result.cpu_us:>8.0f}{result.lost:>6}"
                        f"{result.repeated:>9}{result.wrong:>6}",
                        flush=True,
                    )
        summary(rates, options.engines, options.formats)


def able(engines: list[str], fmt: str) -> list[str]:
    """Return the engines that are measured with a format: Kafka Streams has no Avro codec of ours."""
    return [name for name in engines if fmt == "raw" or name != "kafka-streams"]


def summary(rates: dict[tuple[str, str], list[float]], engines: list[str], formats: list[str]) -> None:
    """Print the medians and how many times as fast ours is."""
    for fmt in formats:
        median = {name: statistics.median(rates[name, fmt]) for name in able(engines, fmt)}
        ours = median.get("streams")
        for name, rate in median.items():
            times = f", streams is {ours / rate:.1f} times as fast" if ours and name != "streams" else ""
            print(f"median {name} {fmt}: {rate:,.0f} events/s{times}")


@contextmanager
def cluster(bootstrap: str | None) -> Iterator[str]:
    """Yield the address of a Kafka: the given one, or an embedded one that ends with the block."""
    if bootstrap:
        yield bootstrap
        return
    from streams.local.kafka import EmbeddedKafka
    from streams.settings import load

    with tempfile.TemporaryDirectory(prefix="streams-benchmark-") as folder:
        kafka = EmbeddedKafka(Path(folder), load().cache_dir)
        kafka.start()
        try:
            kafka.wait_ready()
            yield kafka.bootstrap
        finally:
            kafka.stop()


def measure(
    bootstrap: str,
    engine: str,
    fmt: Format,
    events: int | None,
    *,
    partitions: int = PARTITIONS,
    limit: float = LIMIT,
    look: Callable[[int], None] = lambda _pid: None,
) -> Result:
    """Fill a topic, let the engine work it off, and read from the output topic how fast and how exactly it did.

    `look` is given the engine's process id ten times a second while it works; `limit` is in seconds.
    """
    module = importlib.import_module(ENGINES[engine])
    wanted = events or module.EVENTS
    name = f"bench-{engine}-{fmt}-{uuid.uuid4().hex[:8]}"
    topic_in, topic_out = f"{name}.in", f"{name}.out"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    create(admin, topic_in, topic_out, partitions=partitions)
    produce(bootstrap, topic_in, wanted, fmt)
    process: subprocess.Popen[bytes] = module.run(bootstrap, topic_in, topic_out, fmt)
    try:
        cpu = await_output(bootstrap, topic_out, wanted, process, partitions, limit, look)
        result = read(bootstrap, topic_out, wanted, fmt, cpu, partitions)
    finally:
        stop(process)
    drop(admin, name)
    return result


def create(admin: AdminClient, *topics: str, partitions: int = PARTITIONS) -> None:
    """Create topics whose records carry the broker's time, the one clock that all engines share."""
    config = {"message.timestamp.type": "LogAppendTime"}
    futures = admin.create_topics([NewTopic(topic, partitions, 1, config=config) for topic in topics])
    for future in futures.values():
        future.result(30)


def drop(admin: AdminClient, prefix: str) -> None:
    """Delete the topics of a run, the engines' changelogs too."""
    names = [name for name in admin.list_topics(timeout=30).topics if prefix in name]
    for future in admin.delete_topics(names).values():
        future.result(30)


def produce(bootstrap: str, topic: str, events: int, fmt: Format) -> None:
    """Fill the input topic; keys in turn, so that each has as many events."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "partitioner": "murmur2_random", "enable.idempotence": True}
    )
    for number in range(events):
        while True:
            try:
                producer.produce(topic, event(number, fmt), key(number))
                break
            except BufferError:
                producer.poll(0.05)
        if number % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


def await_output(
    bootstrap: str,
    topic: str,
    events: int,
    process: subprocess.Popen[bytes],
    partitions: int,
    seconds: float,
    look: Callable[[int], None],
) -> float:
    """Wait until the output holds `events` records; return the CPU seconds that the engine used since its first."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    limit, begun, seen = time.monotonic() + seconds, None, 0
    try:
        while time.monotonic() < limit and process.poll() is None:
            seen = sum(consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in range(partitions))
            look(process.pid)
            if seen and begun is None:
                begun = cpu_seconds(process.pid)
            if seen >= events:
                return (cpu_seconds(process.pid) - (begun or 0)) / events
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    finally:
        consumer.close()
    how = f"ended with {process.returncode}" if process.poll() is not None else f"wrote {seen} of {events}"
    raise SystemExit(f"The engine {how}: see the log in the newest {tempfile.gettempdir()}/streams-benchmark-* folder.")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and those below it."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(member.cpu_times()[:2]) for member in family)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the engine with all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def read(bootstrap: str, topic: str, events: int, fmt: Format, cpu: float, partitions: int) -> Result:
    """Read the output as read_committed: the rate by the broker's clock, and what is missing or double."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    times: list[int] = []
    counts: Counter[bytes] = Counter()
    highest: dict[bytes, int] = {}
    quiet = 0
    while quiet < (1 if len(times) >= events else 10):  # offsets also count markers of transactions: wait for records
        batch = [message for message in consumer.consume(5_000, 1) if not message.error()]
        quiet = 0 if batch else quiet + 1
        for message in batch:
            name, value = message.key() or b"", message.value() or b""
            times.append(message.timestamp()[1])
            counts[name] += 1
            highest[name] = max(highest.get(name, 0), count_of(value, fmt))
    consumer.close()
    expected = {key(number): events // KEYS + (number < events % KEYS) for number in range(min(KEYS, events))}
    span = (max(times) - min(times)) / 1000 or 0.001
    return Result(
        rate=(len(times) - 1) / span,
        cpu_us=cpu * 1e6,
        lost=sum(max(0, wanted - counts[name]) for name, wanted in expected.items()),
        repeated=sum(max(0, counts[name] - wanted) for name, wanted in expected.items()),
        wrong=sum(highest.get(name) != wanted for name, wanted in expected.items()),
    )


if __name__ == "__main__":
    main()
