"""A real Apache Kafka inside the machine, because a pipeline must run and be tested where there is no cluster."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from typing import TYPE_CHECKING, Self

from streams.clock import monotonic
from streams.local.aot import AotCache
from streams.local.broker_settings import properties
from streams.local.errors import StartError
from streams.local.handshake import answers
from streams.local.jars import KAFKA_VERSION, install
from streams.local.java import find_java
from streams.local.ports import LOOPBACK, free_ports
from streams.local.spawn import spawn
from streams.private_folder import private_folder
from streams.settings import child_locale

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from streams.local.java import Java

JVM_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # one small node: start quickly, stay small
LOG_FLAGS = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)
STOP_TIMEOUT = 20.0  # seconds; a clean stop takes 0.3
TRAINING_TIMEOUT = 90.0  # seconds more for writing the ahead-of-time cache, which takes 4
UNMARKED = "4.3.1"  # what wrote a folder that does not say it: the only one of that time
STOPPED = (143, -15, -9)  # status of a broker that somebody stopped or killed
POLL = 0.02  # seconds between two looks at a broker that starts


class EmbeddedKafka:
    """One broker with its data in `<state_dir>/kafka`; the same cluster, and if free the same port, at each start.

    Not for several threads at a time. `cache_dir` holds what all state folders share (jars, ahead-of-time cache).
    """

    def __init__(self, state_dir: Path, cache_dir: Path) -> None:
        self.folder = state_dir.resolve() / "kafka"
        self._cache = cache_dir.resolve() / f"kafka-{KAFKA_VERSION}"
        self._process: subprocess.Popen[bytes] | None = None
        self._java: Java | None = None
        self._jars: list[Path] = []
        self._aot: AotCache | None = None
        self._ports = [0, 0]

    @property
    def bootstrap(self) -> str:
        """Address for clients, known after `start`."""
        return f"{LOOPBACK}:{self._ports[0]}"

    @property
    def log(self) -> Path:
        """The broker's own log."""
        return self.folder / "broker.log"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The broker's process, for those who watch or pause it; StartError when it was not started."""
        if self._process is None:
            message = "The embedded Kafka was not started."
            raise StartError(message)
        return self._process

    def start(self) -> str:
        """Start the broker and return its address at once; `wait_ready` returns when it answers.

        The first time ever this downloads Kafka; the first time with a state folder it formats the storage.
        Raises DownloadError, LocalError (no Java) or StartError.
        """
        private_folder(self.folder)
        if self._aot is None:
            self._java, self._jars = find_java(), install(self._cache)
            self._aot = AotCache(self._cache, self._java, self._jars, JVM_FLAGS)
        self._settle_ports()
        if (self.folder / "data" / "meta.properties").is_file():
            self._check_version()
        else:
            self._format()
        command = self._command("kafka.Kafka", str(self.folder / "server.properties"))
        with self.log.open("ab") as log:
            self._process = spawn(  # in its folder, where a crash leaves its report
                command, output=log, environment=child_locale(), folder=self.folder
            )
        return self.bootstrap

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when the broker answers requests; StartError when it ended or `timeout` seconds have passed."""
        deadline = monotonic() + timeout
        while monotonic() < deadline:
            if answers(LOOPBACK, self._ports[0]):
                return
            try:
                self.process.wait(POLL)
            except subprocess.TimeoutExpired:
                continue
            if (
                self.process.returncode not in STOPPED and self._aot is not None and self._aot.drop()
            ):  # a JVM that cannot start from the cache can do without
                self.start()
                continue
            message = f"The embedded Kafka ended with status {self.process.returncode}: {self._last_words()}"
            raise StartError(message)
        message = f"The embedded Kafka was not ready within {timeout:.0f} s: see {self.log}."
        raise StartError(message)

    def stop(self) -> None:
        """Stop the broker cleanly, or kill it when that takes too long; no effect when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT + (TRAINING_TIMEOUT if self._aot and self._aot.training else 0))
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            if self._aot is not None:
                self._aot.keep()
        self._process = None

    def kill(self) -> None:
        """End the broker as a power cut would (kill -9) and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def _settle_ports(self) -> None:
        remembered = self.folder / "ports"
        wanted = [int(port) for port in remembered.read_text("utf-8").split()] if remembered.is_file() else self._ports
        self._ports = free_ports(wanted)
        remembered.write_text(" ".join(map(str, self._ports)), "utf-8")
        text = properties(self.folder / "data", *self._ports)
        (self.folder / "server.properties").write_text(text, "utf-8")

    def _check_version(self) -> None:
        """Refuse what a newer Kafka wrote: an older one cannot read it, and says so in the words of its insides."""
        mark = self.folder / "version"
        wrote = mark.read_text("utf-8") if mark.is_file() else UNMARKED
        if _order(wrote) > _order(KAFKA_VERSION):
            raise StartError(
                f"{self.folder} was written by Kafka {wrote}, which the embedded {KAFKA_VERSION} cannot read: "
                "`streams dev --reset` forgets it, and STREAMS_STATE_DIR names another folder."
            )
        mark.write_text(KAFKA_VERSION, "utf-8")

    def _format(self) -> None:
        """Prepare an empty store with Kafka's own tool, which knows the features of this version."""
        arguments = ["format", "--cluster-id", _cluster_id(), "--config", str(self.folder / "server.properties")]
        command = self._command("kafka.tools.StorageTool", *arguments, "--ignore-formatted", cached=False)
        with self.log.open("ab") as log:
            status = spawn(command, output=log, environment=child_locale()).wait()
        if status != 0:
            message = f"The embedded Kafka's storage could not be prepared (status {status}): {self._last_words()}"
            raise StartError(message)
        (self.folder / "version").write_text(KAFKA_VERSION, "utf-8")

    def _command(self, main: str, *arguments: str, cached: bool = True) -> list[str]:
        if self._java is None or self._aot is None:
            raise AssertionError
        quiet: list[str] = []
        if self._java.has_aot:  # else the JVM complains about Kafka's own memory access and stale bits of the cache
            quiet = ["--sun-misc-unsafe-memory-access=allow", "-Xlog:disable"]
        cache = self._aot.options(self.folder) if cached else []
        jars = os.pathsep.join(map(str, self._jars))
        return [str(self._java.launcher), *JVM_FLAGS, *quiet, *cache, *LOG_FLAGS, "-cp", jars, main, *arguments]

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", errors="replace").splitlines() if self.log.is_file() else []
        telling = [line.strip() for line in lines[-200:] if "ERROR" in line or "Exception" in line]
        return f"{telling[-1][:200] if telling else 'it said nothing'} (see {self.log})."


def _order(version: str) -> tuple[int, ...]:
    """Return what versions are compared by."""
    return tuple(map(int, version.split(".")))


def _cluster_id() -> str:
    """Return a new id in Kafka's form: 16 bytes in URL-safe base64, without a leading dash (an option)."""
    value = bytearray(uuid.uuid4().bytes)
    value[0] &= 0x7F
    return base64.urlsafe_b64encode(bytes(value)).decode().rstrip("=")
