"""Measures SQL over the topics: records a second and memory of ten questions over many recorded calls.

`uv run python -m benchmarks.sql` starts the embedded Kafka; `--bootstrap` takes another.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import time
import uuid

from confluent_kafka import Producer

from benchmarks.stateful_reaction import cluster
from schemas.attributes import headers_of
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.call import CallRecorded
from schemas.run import RunSucceeded
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings
from topics.admin import apply, plan
from topics.kafka import KafkaConfig
from topics.names import Names
from topics.topic import Topic

PARTITIONS = 4
RUNS = 10_000
START = 1_795_549_568_000
QUESTIONS = (
    "select count(*) from calls",
    'select "partition", max("offset") from calls group by 1',
    "select count(distinct key) from calls",
    "select name, sum(cost_usd) from calls group by 1",
    "select agent, sum(cost_usd) from calls group by 1",
    "select run_id, sum(cost_usd) as usd from calls group by 1 order by 2 desc limit 10",
    "select name, quantile_cont(finished - started, 0.99) from calls group by 1",
    "select data->>'$.request.prompt', count(*) from calls group by 1 order by 2 desc limit 10",
    "select count(*) from calls where key = 'h17'",
    "select agent, count(*) from runs group by 1",
)
"""What people ask; the columns of the answer are records, seconds, processor seconds, both rates, MiB of memory."""


def main() -> None:
    """Write the records, then ask each question in a process of its own, whose memory is then that of the question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--prefix", help="of topics that were written before; with --question")
    parser.add_argument("--question", type=int, help="the number of the only question to ask")
    options = parser.parse_args()
    if options.question is not None:
        ask(QUESTIONS[options.question], options.bootstrap, options.prefix)
        return
    with cluster(options.bootstrap) as bootstrap:
        prefix = f"sql-{uuid.uuid4().hex[:8]}"
        begun = time.monotonic()
        write(KafkaConfig(bootstrap), Names(prefix), options.records)
        print(f"{options.records:,} records written in {time.monotonic() - begun:.0f} s", flush=True)
        for number in range(len(QUESTIONS)):
            place = ["--bootstrap", bootstrap, "--prefix", prefix, "--question", str(number)]
            subprocess.run([sys.executable, "-m", "benchmarks.sql", *place], check=True)


def ask(sql: str, bootstrap: str, prefix: str) -> None:
    """Ask a question and print what it took."""
    settings = Settings(kafka_bootstrap_servers=bootstrap, topic_prefix=prefix, apps=())
    limits = SqlLimits(seconds=3_600, memory_mib=1_024, read_mib=1 << 20)
    begun = time.monotonic()
    found = asyncio.run(SqlProcesses(settings).run(sql, limits, "json"))
    spent = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    print(
        f"| `{sql}` | {found.records:,} | {spent:.1f} | {processor:.1f} | {found.records / spent:,.0f} "
        f"| {found.records / processor:,.0f} | {used.ru_maxrss >> 10} |",
        flush=True,
    )


def write(config: KafkaConfig, names: Names, records: int) -> None:
    """Write calls of many runs, and the runs."""
    topics = [Topic(name, "x", partitions=PARTITIONS) for name in (names.calls, names.runs)]
    apply(config, plan({}, topics, partitions=PARTITIONS))
    codec = Codec(FileRegistry())
    producer = Producer(config.client(partitioner="murmur2_random", linger_ms=50, compression_type="lz4"))
    headers = headers_of("id", "run.succeeded", "/benchmark", START)
    for number in range(RUNS):
        run = RunSucceeded(run_id=f"r{number}", agent=f"agent{number % 10}", ending=1)
        put(producer, names.runs, run.run_id, codec.encode(run), headers)
    headers = headers_of("id", "call.recorded", "/benchmark", START)
    values = [codec.encode(call(number)) for number in range(RUNS)]
    for number in range(records):
        put(producer, names.calls, f"h{number}", values[number % RUNS], headers)
    producer.flush()


def call(number: int) -> CallRecorded:
    """Return a call of some 500 bytes."""
    return CallRecorded(
        hash=f"h{number}",
        run_id=f"r{number}",
        kind="llm",
        name=f"model{number % 5}",
        request={"prompt": f"question {number % 100} " + "x" * 200},
        answer={"text": "y" * 150},
        usage={"input_tokens": number % 1000, "output_tokens": 20, "cached_tokens": 0, "cost_usd": 0.001},
        started_ms=START,
        finished_ms=START + number % 5_000,
    )


def put(producer: Producer, topic: str, key: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """Put a record under way, after a pause where the producer's queue is full."""
    while True:
        try:
            producer.produce(topic, value, key, headers=headers)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


if __name__ == "__main__":
    main()
