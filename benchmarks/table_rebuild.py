"""Measures how fast a table is back after its store is gone: a million rows read from its changelog.

`uv run python -m benchmarks.table_rebuild` starts the embedded Kafka, fills the changelogs of four partitions and
restores them as a worker does. `--lookups 1` gives the table an index; `--profile` says where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import BaseModel

from benchmarks.stateful_reaction import cluster
from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.bus import NewDataArrived
from streams import table
from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.partition_store import PartitionDatabase, PartitionStore, StoreOptions
from streams.runtime.restore import Restorer
from streams.runtime.retention_gaps import RetentionGaps
from streams.worker.events.table_folds import TableFolds, store_name
from topics.kafka import KafkaConfig
from topics.names import Names

PARTITIONS = 4


class Customer(BaseModel):
    """A row of some hundred bytes."""

    name: str
    city: str
    orders: int
    total: float
    note: str = "somebody who buys now and then, mostly on Fridays"


@table(of=[NewDataArrived], row=Customer)
def customers(row: Customer | None, _: Event) -> Customer | None:
    """Hold still: rows are written by the benchmark."""
    return row


@table(of=[NewDataArrived], row=Customer, lookups=["city"])
def customers_by_city(row: Customer | None, _: Event) -> Customer | None:
    """Hold still, with an index."""
    return row


def main() -> None:
    """Fill, restore, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, choices=(0, 1), default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    names, codec = Names(f"rebuild{int(time.time())}"), Codec(FileRegistry(own=[Customer]))
    folds = TableFolds([customers_by_city if options.lookups else customers], names, codec)
    with cluster(options.bootstrap) as bootstrap:
        fill(bootstrap, names, folds.specs[0].topic, codec, options.rows)
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                took = restore(bootstrap, names, folds, Path(folder), profile=options.profile)
            print(f"{options.rows:,} rows in {took:.1f} s: {options.rows / took:,.0f} rows/s", flush=True)


def fill(bootstrap: str, names: Names, topic: str, codec: Codec, rows: int) -> None:
    """Write each row once, to its partition of the changelog."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, PARTITIONS, 1) for name in (topic, names.signals)]
    for future in admin.create_topics(wanted).values():
        future.result()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 500_000})
    for number in range(rows):
        row = Customer(name=f"customer {number}", city=f"city {number % 1000}", orders=number % 50, total=number * 1.5)
        while True:
            try:
                producer.produce(topic, codec.encode(row), f"customer-{number:08d}", partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush()


def restore(bootstrap: str, names: Names, folds: TableFolds, folder: Path, *, profile: bool) -> float:
    """Return the seconds from an empty folder to stores that are up to date."""
    spec, options = folds.specs[0], StoreOptions()
    assignments = []
    for number in range(PARTITIONS):
        owned = PartitionAssignment(number, {names.signals: SourcePartition(names.signals)})
        owned.db = PartitionDatabase(folder / str(number), options)
        owned.stores = {spec.name: PartitionStore(owned.db, spec.name, spec.topic, number, spec.index)}
        assignments.append(owned)
    restorer = Restorer(KafkaConfig(bootstrap).client(), names.topic("rebuild"), "none", RetentionGaps())
    watch = cProfile.Profile()
    begun = time.perf_counter()
    if profile:
        watch.enable()
    restorer.restore(assignments)
    watch.disable()
    took = time.perf_counter() - begun
    if profile:
        pstats.Stats(watch).sort_stats("tottime").print_stats(14)
    check(assignments, store_name(next(iter(folds.tables.values()))))
    for owned in assignments:
        owned.close()
    return took


def check(assignments: list[PartitionAssignment], name: str) -> None:
    """Look that a row of each partition is there."""
    for owned in assignments:
        if owned.stores[name].committed(f"customer-{owned.partition:08d}".encode()) is None:
            raise SystemExit(f"partition {owned.partition} lacks its first row")


if __name__ == "__main__":
    main()
