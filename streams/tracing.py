"""Spans, and their way to an OpenTelemetry collector: only if OTEL_EXPORTER_OTLP_ENDPOINT is set.

Spans are made of what is recorded and exported once that is committed. Their ids come from names of the work (see
`schemas.trace_context`), so repeated work has the same span.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Literal

from streams.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.trace_context import TraceContext

SpanKind = Literal["internal", "server", "client", "consumer"]
Attribute = str | int | float | bool
_MS: Final = 1_000_000  # nanoseconds
_DELAY_MS: Final = 500  # a killed process loses the spans of so long; the library's own delay is five seconds
_CLOSE_MS: Final = 1_500  # for what is not exported yet when a process ends


@dataclass(slots=True)
class Span:
    """Something that took time. Times are milliseconds since the epoch; `error` is why it failed."""

    name: str
    context: TraceContext
    parent_id: str | None
    start_ms: int
    end_ms: int
    kind: SpanKind = "internal"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str | None = None


class SpanExporter:
    """Sends spans to a collector by OTLP over HTTP, many at a time, from a thread of the library."""

    def __init__(self, endpoint: str, service: str, instance: str) -> None:
        """Send to `endpoint` as `service` (gateway or worker); SettingsError when the extra is not installed."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, but its library is missing: install 'streams[otel]'"
            ) from error
        exporting = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._processor = BatchSpanProcessor(exporting, schedule_delay_millis=_DELAY_MS)
        self._scope = InstrumentationScope("streams", version("streams"))
        self._resource = Resource.create(
            {
                "service.name": f"streams-{service}",
                "service.version": version("streams"),
                "service.instance.id": instance,
                "host.name": platform.node(),
            }
        )

    def __call__(self, span: Span) -> None:
        """Put a span into the queue; when the collector is away for long, the oldest are dropped."""
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 - the constructor has checked that it is there
        from opentelemetry.trace import SpanContext, SpanKind, TraceFlags  # noqa: PLC0415
        from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415

        def context(trace: str, span: str) -> SpanContext:
            return SpanContext(
                int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
            )

        trace = span.context.trace_id
        status = Status(StatusCode.OK) if span.error is None else Status(StatusCode.ERROR, span.error)
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context(trace, span.context.span_id),
                None if span.parent_id is None else context(trace, span.parent_id),
                self._resource,
                dict(span.attributes),
                kind=SpanKind[span.kind.upper()],
                instrumentation_scope=self._scope,
                status=status,
                start_time=span.start_ms * _MS,
                end_time=max(span.end_ms, span.start_ms) * _MS,
            )
        )

    def close(self) -> None:
        """Send what is left, for at most a second and a half; blocks."""
        self._processor.force_flush(_CLOSE_MS)


def exporter(endpoint: str | None, service: str, instance: str) -> SpanExporter | None:
    """Return what sends spans, None where no endpoint is set."""
    return None if endpoint is None else SpanExporter(endpoint, service, instance)
