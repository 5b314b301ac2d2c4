"""The process of one statement: takes it from its input, writes the result, and ends.

A timer of the kernel ends it in the middle of C code as well, also when the process that asked is gone.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from streams.app import discover
from streams.query.codec import codec_of
from streams.query.sql.errors import SqlLimitError, SqlRefusedError, SqlUnavailableError
from topics.admin import topic_names
from topics.errors import TopicError
from topics.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.app import Catalog
    from streams.query.sql.limits import Format, SqlLimits
    from streams.query.sql.views import SqlSource
    from streams.settings import Settings
    from topics.kafka import KafkaConfig

_NICE: Final = 10
_BESIDE: Final = 3 << 30  # bytes of address space beside what DuckDB may take: libraries, stacks, arenas


def serve() -> None:
    """Run the statement that the input holds."""
    asked = pickle.load(sys.stdin.buffer)  # noqa: S301 - the pipe of the process that started this one
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no result
    os.nice(_NICE)
    head, body = outcome(*asked)
    content = json.dumps(head).encode()
    sink.write(len(content).to_bytes(4, "big") + content + body)
    sink.flush()
    os._exit(0)  # nothing is left to do, and a client of Kafka may take its time to close


def outcome(sql: str, settings: Settings, limits: SqlLimits, form: Format) -> tuple[dict[str, Any], bytes]:
    """Return what became of a statement, and its result in the form."""
    try:
        return _result(sql, settings, discover(settings.apps), limits, form)
    except (SqlRefusedError, SqlLimitError) as error:
        return {"error": type(error).__name__, "message": str(error)}, b""
    except TopicError as error:
        return {"error": SqlUnavailableError.__name__, "message": str(error)}, b""
    except MemoryError:
        message = f"The statement takes more than {limits.memory_mib} MiB: aggregate, or narrow it by time."
        return {"error": SqlLimitError.__name__, "message": message}, b""
    except ImportError as error:
        message = f"SQL needs duckdb and pyarrow ({error}); type: pip install 'streams[sql]'"
        return {"error": SqlUnavailableError.__name__, "message": message}, b""


def bound(limits: SqlLimits) -> None:
    """Limit this process: time, memory, and no file that it could write."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    memory = (limits.memory_mib << 20) + _BESIDE
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def topics_of(kafka: KafkaConfig, names: Names) -> Callable[[SqlSource], Sequence[str]]:
    """Return what gives the topics of a source, of those that exist; a journal is one for each pool."""

    @cache
    def topics() -> frozenset[str]:
        return frozenset(topic_names(kafka))

    def found(source: SqlSource) -> Sequence[str]:
        existing, wanted = topics(), [names.topic(name) for name in source.topics]
        exact = [name for name in wanted if name in existing]
        begun = [name.removesuffix("*") for name in wanted if name.endswith("*")]
        return [*exact, *sorted(name for name in existing if any(name.startswith(prefix) for prefix in begun))]

    return found


def _result(
    sql: str, settings: Settings, catalog: Catalog, limits: SqlLimits, form: Format
) -> tuple[dict[str, Any], bytes]:
    from streams.query.sql.query import run  # noqa: PLC0415 - duckdb and pyarrow are an extra
    from streams.query.sql.render import FORMATS  # noqa: PLC0415
    from streams.query.sql.scan import TopicReads  # noqa: PLC0415
    from streams.query.sql.tables import sources_of  # noqa: PLC0415

    bound(limits)  # its seconds are those of the statement, without the start of the process
    kafka = settings.kafka()
    topics = topics_of(kafka, Names(settings.topic_prefix))
    reads = TopicReads(kafka, codec_of(settings, catalog), {})
    result = run(sql, reads, topics, limits, sources_of(catalog))
    head = {"rows": result.table.num_rows, "truncated": result.truncated, "records": result.records}
    return {**head, "bytes": result.bytes_read}, FORMATS[form](result)
