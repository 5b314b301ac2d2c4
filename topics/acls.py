"""The least rights that each kind of process needs on the cluster, as Kafka's own ACLs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from topics.names import Names
from topics.reader import GROUP

Role = Literal["gateway", "worker", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
Resource = Literal["topic", "group", "transactional-id", "cluster"]

CLUSTER: Final = "kafka-cluster"
"""The name that Kafka gives to the cluster as a resource."""


@dataclass(frozen=True, slots=True)
class Acl:
    """Operations that a principal may do on a resource, or on all whose names begin with ``name`` (``prefixed``)."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False

    def command(self, principal: str) -> str:
        """Return the arguments of Kafka's tool `kafka-acls` that allow this to ``principal``, such as `User:worker`."""
        operations = " ".join(f"--operation {operation}" for operation in self.operations)
        target = "--cluster" if self.resource == "cluster" else f"--{self.resource} '{self.name}'"
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        return f"kafka-acls --add --allow-principal '{principal}' {operations} {target}{pattern}"


def least(role: Role, prefix: str = "", own: Iterable[str] = ()) -> list[Acl]:
    """Return what ``role`` needs on a pipeline with this topic prefix; ``own`` are a user's topics, without it."""
    names = Names(prefix)
    made = {"gateway": _gateway, "worker": _worker, "admin": _admin}[role](names, [names.topic(name) for name in own])
    everything = Acl("topic", f"{prefix}." if prefix else "*", ("Describe",), prefixed=bool(prefix))
    return [everything, *made, Acl("group", GROUP, ("Describe",))]


def _gateway(names: Names, own: list[str]) -> Iterator[Acl]:
    yield _family(names, "journal.", "Read")
    for name in (names.workers, names.runs, names.dead_letters):
        yield Acl("topic", name, ("Read",))
    yield _family(names, "webhooks.", "Read", "Write")
    for name in (names.events, names.signals, *own):
        yield Acl("topic", name, ("Read", "Write"))
    yield _family(names, "agents.", "Write")


def _worker(names: Names, own: list[str]) -> Iterator[Acl]:
    for family in ("agents.", "journal.", "table."):
        yield _family(names, family, "Read", "Write")
    for name in (names.events, names.signals, names.workers, *own):
        yield Acl("topic", name, ("Read", "Write"))
    for name in (names.runs, names.calls, names.ticks, names.dead_letters):
        yield Acl("topic", name, ("Write",))
    yield Acl("group", names.topic("streams."), ("Read",), prefixed=True)
    yield Acl("transactional-id", names.topic("streams."), ("Write", "Describe"), prefixed=True)


def _admin(names: Names, _own: list[str]) -> Iterator[Acl]:
    whole = names.topic("") or "*"
    operations = ("Create", "Read", "Write", "Delete", "DescribeConfigs", "AlterConfigs", "Alter")
    yield Acl("topic", whole, operations, prefixed=whole != "*")
    yield Acl("group", names.topic("streams."), ("Describe",), prefixed=True)
    if not names.prefix:
        yield Acl("cluster", CLUSTER, ("Create",))


def _family(names: Names, begin: str, *operations: str) -> Acl:
    return Acl("topic", names.topic(begin), operations, prefixed=True)
