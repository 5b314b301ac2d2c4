"""A cluster that nobody has used: no group has made the topic of offsets yet."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from streams.local.kafka import EmbeddedKafka
from streams.runtime.cluster_check import probe
from streams.settings import load
from tests.faults.rig.waiting import PATIENCE_S


async def test_the_first_worker_of_a_new_cluster_gets_its_answer(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path, load().cache_dir)
    await asyncio.to_thread(kafka.start)
    try:
        await asyncio.to_thread(kafka.wait_ready)
        topic = f"new-{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        await asyncio.to_thread(admin.create_topics([NewTopic(topic, 1, 1)])[topic].result, PATIENCE_S)

        await asyncio.wait_for(
            asyncio.to_thread(probe, {"bootstrap.servers": kafka.bootstrap}, topic, topic, 0, "s"), PATIENCE_S
        )
    finally:
        await asyncio.to_thread(kafka.stop)
