"""Decides what has to change on a cluster for it to have the wanted topics, and refuses what would lose records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from topics.topic import Topic

_LIMITS = ("retention.ms", "max.message.bytes")


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is on the cluster: its partition count and its settings by Kafka's names."""

    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Create:
    """A topic to be made."""

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Alter:
    """One setting of a topic to be changed; ``before`` None means that it was not given."""

    name: str
    setting: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Grow:
    """A topic that gets more partitions."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that will not be made, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What to do; nothing if the cluster is as wanted."""

    create: tuple[Create, ...] = ()
    alter: tuple[Alter, ...] = ()
    grow: tuple[Grow, ...] = ()
    refused: tuple[Refusal, ...] = ()
    unchanged: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing was refused."""
        return not (self.create or self.alter or self.grow or self.refused)

    def render(self) -> str:
        """Return the plan as a diff: ``+`` is made, ``~`` changed, ``!`` refused."""
        lines = [f"+ {item.name}  {item.partitions} partitions, {_settings(item.config)}" for item in self.create]
        lines += [f"~ {item.name}  {item.setting}: {item.before} -> {item.after}" for item in self.alter]
        lines += [f"~ {item.name}  partitions: {item.before} -> {item.after}" for item in self.grow]
        lines += [f"! {item.name}  {item.reason}" for item in self.refused]
        lines.append(
            f"{len(self.create)} to create, {len(self.alter) + len(self.grow)} to change, "
            f"{len(self.refused)} refused, {self.unchanged} as wanted"
        )
        return "\n".join(lines)


def plan(
    current: Mapping[str, TopicState], wanted: Iterable[Topic], *, partitions: int, replication_factor: int = 1
) -> TopicPlan:
    """Return what turns ``current`` into ``wanted``; topics that are not wanted are left alone.

    ``partitions`` is the shared count. Refused are: another partition count where keys must stay where they are,
    fewer partitions, a shorter retention, a smaller record size, and another cleanup policy.
    """
    create: list[Create] = []
    alter: list[Alter] = []
    grow: list[Grow] = []
    refused: list[Refusal] = []
    unchanged = 0
    for topic in wanted:
        count, settings = topic.partitions or partitions, _wanted_settings(topic, replication_factor)
        state = current.get(topic.name)
        if state is None:
            create.append(Create(topic.name, count, replication_factor, settings))
            continue
        reasons = _partition_reasons(topic, state.partitions, count)
        differing = {name: value for name, value in settings.items() if state.config.get(name) != value}
        reasons += [reason for name in differing if (reason := _setting_reason(name, state, settings[name]))]
        refused += [Refusal(topic.name, reason) for reason in reasons]
        if reasons:
            continue
        alter += [Alter(topic.name, name, state.config.get(name), value) for name, value in differing.items()]
        if count > state.partitions:
            grow.append(Grow(topic.name, state.partitions, count))
        unchanged += not differing and count == state.partitions
    return TopicPlan(tuple(create), tuple(alter), tuple(grow), tuple(refused), unchanged)


def _wanted_settings(topic: Topic, replication_factor: int) -> dict[str, str]:
    """With three or more copies a record counts as written when two have it."""
    durable = {"min.insync.replicas": "2"} if replication_factor > 2 else {}
    return {**durable, **topic.settings()}


def _partition_reasons(topic: Topic, before: int, after: int) -> list[str]:
    if before == after:
        return []
    if topic.shares_partitions or topic.key:
        return [f"has {before} partitions, {after} are wanted: its keys would move and their history would not"]
    if after < before:
        return [f"has {before} partitions, {after} are wanted: Kafka cannot take partitions away"]
    return []


def _setting_reason(name: str, state: TopicState, after: str) -> str | None:
    before = state.config.get(name)
    if before is None:
        return None
    if name == "cleanup.policy":
        return f"cleanup.policy is {before}, {after} is wanted: records would be lost; delete the topic yourself"
    if name in _LIMITS and _amount(after) < _amount(before):
        return f"{name} is {before}, {after} is wanted: it is never made smaller here; do it with Kafka's own tools"
    return None


def _amount(value: str) -> float:
    """Return a limit as a number; a negative one means none."""
    number = int(value)
    return float("inf") if number < 0 else number


def _settings(config: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())
