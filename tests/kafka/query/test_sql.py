"""SQL over a real log, in the process that `POST /sql` starts."""

from __future__ import annotations

import orjson

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.bus import NewDataArrived
from schemas.call import CallRecorded
from schemas.run import RunSucceeded
from streams.clock import now_ms
from streams.query.sql.limits import SqlLimits
from streams.query.sql.process import SqlProcesses
from streams.settings import Settings
from topics import Topic
from topics.admin import apply, plan
from topics.kafka import KafkaConfig
from topics.names import Names
from topics.producer import EventProducer

USAGE = {"input_tokens": 1, "output_tokens": 1, "cached_tokens": 0, "cost_usd": 0.25}


async def test_statements_read_what_is_on_the_log(bootstrap: str, prefix: str) -> None:
    names, config = Names(prefix), KafkaConfig(bootstrap)
    topics = [Topic(name, "x", partitions=3) for name in (names.events, names.runs, names.calls)]
    apply(config, plan({}, topics, partitions=3))
    producer = EventProducer(config, Codec(FileRegistry()), "/tests", now_ms=now_ms)
    for number in range(20):
        event = NewDataArrived.model_validate({"source": f"n{number}", "data": {"number": number}})
        await producer.send(names.events, event, key=f"k{number}")
    for number in range(4):
        run = RunSucceeded(run_id=f"r{number}", agent=f"a{number % 2}", ending=1)
        await producer.send(names.runs, run)
        call = CallRecorded(
            hash=f"h{number}", run_id=run.run_id, kind="llm", name="m", usage=USAGE, started_ms=1, finished_ms=2
        )
        await producer.send(names.calls, call)
    await producer.close()
    sql = SqlProcesses(Settings(kafka_bootstrap_servers=bootstrap, topic_prefix=prefix, apps=()))

    async def rows(statement: str) -> object:
        return orjson.loads((await sql.run(statement, SqlLimits(), "answer")).body)["rows"]

    assert await rows("select agent, sum(cost_usd) from calls group by 1 order by 1") == [["a0", 0.5], ["a1", 0.5]]
    assert await rows("select count(*) from events") == [[20]]
    assert await rows("select key, data->>'$.data.number' from events where key = 'k7'") == [["k7", "7"]]
    assert await rows("select count(*) from events where time > now() - interval 1 hour") == [[20]]
    assert await rows("select count(*) from events where time > now() + interval 1 hour") == [[0]]
    assert await rows("select count(*) from dead_letters") == [[0]]
    assert await rows("select count(*) from events at (timestamp => now() - interval 1 hour)") == [[0]]
    assert await rows("select count(*) from events at (version => 1)") == [[6]]
    assert await rows("select count(*) from tables.tickets") == [[0]]
