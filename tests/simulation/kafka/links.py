"""A client's connections to brokers: connecting, back-off, what is under way, and what closes when one is gone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

from confluent_kafka import KafkaError

from tests.simulation.kafka.broker_api import BrokerApi
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.errors import RefusedError
from tests.simulation.kafka.network import Call, Verdict
from tests.simulation.kafka.timing import Waiter

_VERSIONS_S: Final = 10.0  # for the first answer on a connection
_SETUP_S: Final = 30.0  # for a connection that is not refused
_SYN_S: Final = 1.0
_LOOK_S: Final = 1.0

#: Called at a broker; gives its answer to the reply, now or later, a RefusedError for an error code.
Handle = Callable[[BrokerApi, Callable[[Any], None]], None]


class Unanswered(NamedTuple):
    """A request without an answer: the connection broke, or the time was over; whether it was handled is unknown."""

    code: int


class LinkOwner(Protocol):
    """What a client does about its connections."""

    def connected(self, broker: int) -> None:
        """React to a connection that is up."""

    def disconnected(self, broker: int, code: int, reason: str) -> None:
        """React to a connection that is down, or could not be made."""


@dataclass(slots=True)
class Request:
    """A request that a client has yet to get an answer to."""

    name: str
    handle: Handle
    settle: Callable[[Any], None]
    deadline: float
    settled: bool = False

    def finish(self, answer: Any) -> None:
        """Give the answer to whoever asked, once."""
        if not self.settled:
            self.settled = True
            self.settle(answer)


@dataclass(slots=True)
class Link:
    """The connection to one broker."""

    broker: int
    channel: str
    state: Literal["down", "connecting", "up"] = "down"
    generation: int = 0  # of the connection: what belongs to an earlier one is void
    failures: int = 0
    retry_at: float = 0.0
    arrives: float = 0.0  # when the latest request arrives: none overtakes another
    answers: float = 0.0
    watched: bool = False
    waiting: list[Request] = field(default_factory=list)
    under_way: list[Request] = field(default_factory=list)


class Links:
    """All connections of one client."""

    def __init__(
        self,
        cluster: Cluster,
        waiter: Waiter,
        chance: random.Random,
        owner: LinkOwner,
        *,
        process: str,
        client: str,
        backoff_s: tuple[float, float],
    ) -> None:
        """Connect nothing yet."""
        self._cluster = cluster
        self._waiter = waiter
        self._chance = chance
        self._owner = owner
        self._process = process
        self._client = client
        self._backoff_s = backoff_s
        self._links: dict[tuple[int, str], Link] = {}
        self.closed = False

    def up(self) -> list[int]:
        """Return the brokers that are connected."""
        return [link.broker for link in self._links.values() if link.state == "up" and not link.channel]

    def all_down(self) -> bool:
        """Tell whether every connection that was tried is down."""
        return all(link.state != "up" for link in self._links.values() if not link.channel)

    def send(
        self,
        broker: int,
        name: str,
        handle: Handle,
        settle: Callable[[Any], None],
        timeout_s: float,
        channel: str = "",
    ) -> Request:
        """Send a request once the connection is up; `settle` gets the answer, a RefusedError or an Unanswered.

        A request that waits for a connection has no answer when that one cannot be made. A `channel` of its own is
        another connection to the same broker.
        """
        request = Request(name, handle, settle, self._waiter.now() + timeout_s)
        link = self._link(broker, channel)
        if link.state == "up":
            self._transmit(link, request)
        else:
            link.waiting.append(request)
            self._connect(link)
        self._watch(link)
        return request

    def connect(self, broker: int) -> None:
        """Connect to a broker, unless that is so already."""
        self._connect(self._link(broker))

    def drop(self, broker: int) -> None:
        """Close the connections to a broker."""
        for link in [link for link in self._links.values() if link.broker == broker]:
            self._drop(link, KafkaError._TRANSPORT, "Disconnected")

    def _drop(self, link: Link, code: int, reason: str) -> None:
        """Close a connection; what is under way on it gets no answer."""
        if link.state == "down":
            return
        link.state, link.generation = "down", link.generation + 1
        self._back_off(link)
        lost, link.under_way = link.under_way, []
        self._owner.disconnected(link.broker, code, reason)
        for request in lost:
            request.finish(Unanswered(KafkaError._TRANSPORT))
        if link.waiting:
            self._connect(link)

    def close(self) -> None:
        """Close all without a word to anybody; nothing is answered any more."""
        self.closed = True
        for link in self._links.values():
            link.generation += 1
            link.state = "down"
            link.waiting.clear()
            link.under_way.clear()

    def _link(self, broker: int, channel: str = "") -> Link:
        return self._links.setdefault((broker, channel), Link(broker, channel))

    # -- connecting

    def _connect(self, link: Link) -> None:
        if self.closed or link.state != "down":
            return
        link.state = "connecting"
        generation = link.generation = link.generation + 1
        begins = max(self._waiter.now(), link.retry_at)
        self._waiter.schedule(begins, lambda: self._dial(link, generation, begins + _SETUP_S))

    def _dial(self, link: Link, generation: int, gives_up: float) -> None:
        if self.closed or link.generation != generation:
            return
        network, now = self._cluster.network, self._waiter.now()
        if any(network.is_cut(self._process, link.broker, way) for way in ("requests", "responses")):
            if now >= gives_up:
                self._refuse(link, KafkaError._TRANSPORT, "Connection setup timed out")
            else:
                self._waiter.schedule(now + _SYN_S, lambda: self._dial(link, generation, gives_up))
            return
        known = link.broker in self._cluster.brokers
        if not known or self._cluster.brokers[link.broker].state == "down":
            code = KafkaError._TRANSPORT if known else KafkaError._RESOLVE
            self._refuse(link, code, "Connect failed: Connection refused" if known else "Failed to resolve")
            return
        request = Request(
            "ApiVersions",
            lambda _api, reply: reply(None),
            lambda answer: self._established(link, generation, answer),
            now + _VERSIONS_S,
        )
        self._transmit(link, request)
        self._watch(link)

    def _established(self, link: Link, generation: int, answer: object) -> None:
        if link.generation != generation or isinstance(answer, Unanswered | RefusedError):
            return
        link.state, link.failures = "up", 0
        self._owner.connected(link.broker)
        waiting, link.waiting = link.waiting, []
        for request in waiting:
            if link.state != "up":
                link.waiting.append(request)
            elif not request.settled:
                self._transmit(link, request)

    def _refuse(self, link: Link, code: int, reason: str) -> None:
        link.state, link.generation = "down", link.generation + 1
        self._back_off(link)
        refused, link.waiting = link.waiting, []
        self._owner.disconnected(link.broker, code, reason)
        for request in refused:
            request.finish(Unanswered(KafkaError._TRANSPORT))

    def _back_off(self, link: Link) -> None:
        least, most = self._backoff_s
        pause = min(least * 2**link.failures, most) * self._chance.uniform(0.75, 1.25)
        link.failures = min(link.failures + 1, 16)
        link.retry_at = self._waiter.now() + pause

    # -- requests

    def _transmit(self, link: Link, request: Request) -> None:
        """Send a request over the connection; requests arrive in their order, and so do answers."""
        cluster = self._cluster
        verdict = cluster.network.judge(Call(self._process, self._client, link.broker, request.name))
        generation = link.generation
        link.under_way.append(request)
        link.arrives = max(link.arrives, self._waiter.now() + verdict.request_s)

        def answer(value: Any) -> None:
            if verdict.lost == "response":
                self._soon(lambda: self._broken(link, generation))
            else:  # a broker that is paused by now sends it later
                cluster.deliver(link.broker, lambda: self._return(link, generation, request, value, verdict))

        def handle() -> None:
            try:
                if verdict.refusal is not None:
                    raise RefusedError(verdict.refusal)
                request.handle(BrokerApi(cluster, link.broker), answer)
            except RefusedError as error:
                answer(error)

        def arrive() -> None:
            if verdict.lost == "request" or not cluster.deliver(link.broker, handle):
                self._soon(lambda: self._broken(link, generation))

        cluster.waiter.schedule(
            link.arrives, lambda: cluster.network.carry(self._process, link.broker, "requests", arrive)
        )

    def _return(self, link: Link, generation: int, request: Request, value: Any, verdict: Verdict) -> None:
        """Send an answer back; answers arrive in their order."""
        network = self._cluster.network
        link.answers = max(link.answers, self._cluster.waiter.now() + verdict.response_s)

        def arrive() -> None:
            self._answered(link, generation, request, value)

        self._waiter.schedule(link.answers, lambda: network.carry(self._process, link.broker, "responses", arrive))

    def _soon(self, action: Callable[[], None]) -> None:
        self._waiter.schedule(self._waiter.now(), action)

    def _answered(self, link: Link, generation: int, request: Request, value: Any) -> None:
        if self.closed or link.generation != generation:
            return  # the connection was closed meanwhile
        if request in link.under_way:
            link.under_way.remove(request)
        request.finish(value)

    def _broken(self, link: Link, generation: int) -> None:
        if not self.closed and link.generation == generation:
            self._drop(link, KafkaError._TRANSPORT, "Disconnected")

    def _watch(self, link: Link) -> None:
        """Look once a second for what has waited too long, while anything waits."""
        if not link.watched:
            link.watched = True
            self._waiter.schedule(self._waiter.now() + _LOOK_S, lambda: self._look(link))

    def _look(self, link: Link) -> None:
        """End waits for answers; the library closes a connection that has not answered in time."""
        link.watched = False
        if self.closed:
            return
        now = self._waiter.now()
        silent = [request for request in link.under_way if request.deadline <= now]
        late = [request for request in link.waiting if request.deadline <= now]
        link.under_way = [request for request in link.under_way if request not in silent]
        link.waiting = [request for request in link.waiting if request not in late]
        if silent:
            self._drop(link, KafkaError._TIMED_OUT, f"{silent[0].name} timed out")
        for request in (*silent, *late):
            request.finish(Unanswered(KafkaError._TIMED_OUT))
        if link.under_way or link.waiting:
            self._watch(link)
