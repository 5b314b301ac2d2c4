"""One suite for every registry: ids are stable, schemas come back whole, and records cross between processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from schemas.avro.codec import Codec
from schemas.avro.confluent import ConfluentRegistry
from schemas.avro.derive import avro_schema
from schemas.avro.published_schemas import publish
from schemas.avro.registry import FileRegistry, Registry
from schemas.errors import RegistryUnavailableError, SchemaError, UndecodableError, UnknownSchemaError
from schemas.run import RunStarted, RunSubmitted

SUBMITTED = RunSubmitted(run_id="r", agent="a", input={"x": 1})


class Service(ThreadingHTTPServer):
    """A schema registry with the two calls that we use, in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.subjects: dict[str, list[int]] = {}
        self.schemas: list[str] = []
        self.requests: list[tuple[str, str, str | None]] = []
        self.refusal: int | None = None
        self.foreign: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["schema"] not in self.server.schemas:
            self.server.schemas.append(body["schema"])
        number = self.server.schemas.index(body["schema"]) + 1
        self.server.subjects.setdefault(self.path.split("/")[2], []).append(number)
        self._answer({"id": number})

    def do_GET(self) -> None:
        number = int(self.path.rsplit("/", 1)[1])
        if self.server.foreign is not None:
            self._answer(self.server.foreign)
        elif 0 < number <= len(self.server.schemas):
            self._answer({"schema": self.server.schemas[number - 1]})
        else:
            self._answer({"error_code": 40403, "message": "Schema not found"}, 404)

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization")))
        content = json.dumps(body).encode()
        self.send_response(self.server.refusal or status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["file", "confluent"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, service: Service) -> Iterator[Callable[[], Registry]]:
    """Return a maker of registries that share what is behind them, as processes do."""
    made: list[ConfluentRegistry] = []
    if request.param == "file":
        publish([RunSubmitted, RunStarted], tmp_path)

    def make() -> Registry:
        if request.param == "file":
            return FileRegistry(tmp_path)
        made.append(ConfluentRegistry(service.url))
        return made[-1]

    yield make
    for registry in made:
        registry.close()


def test_ids_are_equal_in_every_process_and_differ_between_schemas(fresh: Callable[[], Registry]) -> None:
    one, two = fresh(), fresh()
    assert one.id_of(RunSubmitted) == one.id_of(RunSubmitted) == two.id_of(RunSubmitted)
    assert one.id_of(RunSubmitted) != one.id_of(RunStarted)


def test_a_schema_comes_back_as_it_was_written(fresh: Callable[[], Registry]) -> None:
    number = fresh().id_of(RunSubmitted)
    assert fresh().schema_of(number) == avro_schema(RunSubmitted)


def test_a_record_is_read_by_another_process(fresh: Callable[[], Registry]) -> None:
    data = Codec(fresh()).encode(SUBMITTED)
    assert Codec(fresh()).decode(data, RunSubmitted) == SUBMITTED
    assert Codec(fresh()).decode_dict(data)["input"] == {"x": 1}


def test_an_unknown_id_is_unknown_and_its_record_undecodable(fresh: Callable[[], Registry]) -> None:
    with pytest.raises(UnknownSchemaError, match="999"):
        fresh().schema_of(999)
    with pytest.raises(UndecodableError, match="999"):
        Codec(fresh()).decode(b"\0\0\0\x03\xe7rest", RunSubmitted)


def test_the_service_is_asked_once_for_each_schema(service: Service) -> None:
    registry = ConfluentRegistry(service.url, ("user", "secret"))
    codec = Codec(registry)
    for _ in range(3):
        codec.decode(codec.encode(SUBMITTED), RunSubmitted)
    registry.close()
    assert [request[:2] for request in service.requests] == [("POST", "/subjects/schemas.RunSubmitted/versions")]
    assert service.requests[0][2] == "Basic dXNlcjpzZWNyZXQ="


def test_a_refused_schema_says_so(service: Service) -> None:
    service.refusal = 409
    registry = ConfluentRegistry(service.url)
    with pytest.raises(SchemaError, match="the registry refuses the schema"):
        registry.id_of(RunSubmitted)
    registry.close()


@pytest.mark.parametrize("refusal", [500, 503])
def test_a_failing_service_is_unavailable_and_no_record_undecodable_for_it(service: Service, refusal: int) -> None:
    service.refusal = refusal
    registry = ConfluentRegistry(service.url)
    with pytest.raises(RegistryUnavailableError, match=str(refusal)):
        Codec(registry).decode(b"\0\0\0\0\x01x", RunSubmitted)
    registry.close()


def test_wrong_credentials_are_an_error_and_nothing_is_taken_from_the_answer(service: Service) -> None:
    service.refusal = 401
    registry = ConfluentRegistry(service.url)
    with pytest.raises(SchemaError, match="answers 401"):
        registry.id_of(RunSubmitted)
    registry.close()


@pytest.mark.parametrize(
    "foreign",
    [
        {"schemaType": "PROTOBUF", "schema": "message A {}"},
        {"schema": '"Elsewhere"', "references": [{"name": "Elsewhere", "subject": "e", "version": 1}]},
        {"schema": '{"type":"record","name":"A","fields":[{"name":"a","type":"Elsewhere"}]}'},
        {"schema": '"string"'},
    ],
)
def test_a_record_of_a_schema_that_we_cannot_use_is_undecodable(service: Service, foreign: dict[str, Any]) -> None:
    service.foreign = foreign
    registry = ConfluentRegistry(service.url)
    with pytest.raises(UndecodableError):
        Codec(registry).decode(b"\0\0\0\0\x09\x02x", RunSubmitted)
    registry.close()


def test_a_service_that_is_not_there_is_unavailable() -> None:
    registry = ConfluentRegistry("http://127.0.0.1:1", timeout=1)
    with pytest.raises(RegistryUnavailableError, match="does not answer"):
        registry.id_of(RunSubmitted)
    registry.close()
