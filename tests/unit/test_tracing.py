"""Spans reach a collector by OTLP over HTTP, with their ids, times and attributes."""

from __future__ import annotations

import builtins
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.trace_context import TraceContext
from streams.settings import Settings, SettingsError
from streams.tracing import Span, exporter

CONTEXT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


class Collector:
    """Takes OTLP requests on a port of its own."""

    def __init__(self) -> None:
        self.requests: queue.Queue[tuple[str, bytes]] = queue.Queue()
        received = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.put((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_a_span_arrives_as_it_is(collector: Collector) -> None:
    export = exporter(f"{collector.url}/", "worker", "default.0")
    assert export is not None
    export(Span("step fetch", CONTEXT, "00f067aa0ba902b8", 1_000, 1_250, "client", {"streams.attempt": 2}, "Boom: no"))
    export.close()
    path, body = collector.requests.get(timeout=5)
    assert path == "/v1/traces"
    [resource] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "streams-worker"
    [span] = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.span_id.hex()) == ("step fetch", *CONTEXT)
    assert span.parent_span_id.hex() == "00f067aa0ba902b8"
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000_000_000, 1_250_000_000)
    assert (span.status.message, span.attributes[0].value.int_value) == ("Boom: no", 2)


def test_nothing_is_sent_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exporter(Settings().otlp_endpoint, "worker", "x") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert Settings().otlp_endpoint == "http://collector:4318"


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=r"streams\[otel\]"):
        exporter("http://collector:4318", "worker", "x")
