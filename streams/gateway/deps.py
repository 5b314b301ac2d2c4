"""What the gateway needs from outside, as protocols, so that tests give fakes and `serve` gives the real things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import asyncio
    import threading
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from pydantic import SecretStr

    from schemas import Event
    from streams.app import Catalog
    from streams.choices import Budget
    from streams.query.dead_letters import DeadLetter, DeadLetterPage
    from streams.query.sql.limits import Format, SqlLimits
    from streams.query.sql.process import SqlOutput
    from streams.query.wire import WorkerResponse
    from streams.settings import ApiKey
    from streams.tracing import Span
    from topics.names import Names
    from topics.producer import Ack

    E = TypeVar("E", bound=Event)

Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""A readiness check: None if it passes, else one line with the reason."""


class GatewaySettings(Protocol):
    """The settings that the gateway reads; `streams.settings.Settings` has them and more."""

    @property
    def gateway_host(self) -> str: ...  # noqa: D102
    @property
    def advertised_url(self) -> str | None: ...  # noqa: D102
    @property
    def api_keys(self) -> tuple[ApiKey, ...]: ...  # noqa: D102
    @property
    def webhook_secrets(self) -> Mapping[str, Sequence[SecretStr]]: ...  # noqa: D102
    @property
    def budgets(self) -> Mapping[str, Budget]: ...  # noqa: D102


class PendingRecord(Protocol):
    """A record under way."""

    async def acknowledged(self) -> Ack: ...  # noqa: D102


class GatewayProducer(Protocol):
    """Writes to the log; a record is acknowledged once all in-sync replicas have it, else NotAcknowledged is raised."""

    def begin(  # noqa: D102
        self,
        topic: str,
        event: Event,
        *,
        id: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        traceparent: str | None = None,
        source: str | None = None,
        time_ms: int | None = None,
        partition: int | None = None,
    ) -> PendingRecord: ...


class Asker(Protocol):
    """Asks the workers that own keys; `streams.query.owners.Owners` does."""

    def pools(self) -> list[str]: ...  # noqa: D102
    def workers(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def unserved(self, pool: str, agent: str) -> list[int]: ...  # noqa: D102
    async def ask(self, pool: str, key: str, path: str) -> WorkerResponse: ...  # noqa: D102
    async def ask_stale(self, pool: str, key: str, path: str) -> WorkerResponse: ...  # noqa: D102
    async def ask_all(self, pool: str, path: str) -> list[WorkerResponse]: ...  # noqa: D102
    async def post_all(self, pool: str, path: str, body: bytes) -> list[WorkerResponse]: ...  # noqa: D102


class History(Protocol):
    """Bounded reads of topics; blocking, so the gateway calls them in a thread."""

    def topics(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def page(  # noqa: D102
        self, topic: str, *, start: str, end: str, key: str | None, event_type: str | None, limit: int
    ) -> Iterable[dict[str, Any]]: ...
    def start(self, topic: str, where: str | Mapping[int, int]) -> dict[int, int]: ...  # noqa: D102
    def between(  # noqa: D102
        self, topic: str, start: Mapping[int, int], end: Mapping[int, int], *, key: str | None, limit: int
    ) -> Iterable[dict[str, Any]]: ...
    def follow(  # noqa: D102
        self, topic: str, start: Mapping[int, int], *, stop: threading.Event
    ) -> Iterable[dict[str, Any]]: ...


class DeadLetterSource(Protocol):
    """Dead letters; blocking, so called in a thread. `streams.query.dead_letters.DeadLetterIndex` is one."""

    def newest(self, wanted: Callable[[DeadLetter], bool], limit: int) -> DeadLetterPage: ...  # noqa: D102
    def whole(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]: ...  # noqa: D102
    def find(self, dead_id: str) -> DeadLetter | None: ...  # noqa: D102
    def last(self, topic: str, key: bytes, kind: type[E]) -> E | None: ...  # noqa: D102
    def encode(self, event: Event) -> bytes: ...  # noqa: D102
    def fields(self, value: bytes) -> dict[str, Any]: ...  # noqa: D102


class PastRows(Protocol):
    """Rows of tables as they were; blocking, so the gateway calls it in a thread."""

    def __call__(  # noqa: D102
        self, table: str, key: str, *, offset: int | None, time_ms: int | None
    ) -> dict[str, Any]: ...


class Changes(Protocol):
    """Notifies of a run whose journal grew; `streams.query.changes.RunChanges` does."""

    def watch(self, pool: str, run_id: str) -> AbstractContextManager[asyncio.Event]: ...  # noqa: D102


class SqlRunner(Protocol):
    """Runs a SELECT over the topics; `streams.query.sql.process.SqlProcesses` is one."""

    async def run(self, sql: str, limits: SqlLimits, form: Format) -> SqlOutput: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a gateway is made of."""

    settings: GatewaySettings
    catalog: Catalog
    producer: GatewayProducer
    owners: Asker
    names: Names
    history: History | None = None
    changes: Changes | None = None
    letters: DeadLetterSource | None = None
    past: PastRows | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    export: Callable[[Span], None] | None = None  # of spans, if a collector is configured
    sql: SqlRunner | None = None
