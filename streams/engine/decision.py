"""What the machine wants done: one decision is one unit, carried out by whoever runs it.

A decision that is too large for a transaction (ten thousand children at once) may be parted at its cuts. Each part is
then a unit, committed in order: a crash between two of them leaves a journal from which the function goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from schemas import Event
    from streams.define.policies import RetryPolicy
    from streams.define.tools import Tool
    from streams.engine.entry import Entry

_FEW: Final = 4  # entries and outputs that need no parting, however large they are: a unit takes them

Destination = Literal["events", "runs", "signals", "agents", "calls", "dead-letters"]
EffectKind = Literal["llm", "tool", "step"]


@dataclass(slots=True)
class Output:
    """A record for another topic, in the same unit as the entries beside it.

    `agent` and `pool` name the queue for `agents` and the addressee for `signals`.
    """

    to: Destination
    event: Event
    id: str
    key: str
    agent: str | None = None
    pool: str | None = None


@dataclass(slots=True)
class Perform:
    """An attempt of an effect to start once all entries of the run so far are committed (a pure one at once).

    step: call `fn(*args["args"], **args["kwargs"])`, in a thread unless it is async. tool: `tool` with the validated
    JSON arguments `args`. llm: `args` has prompt, args, params; `tools` is the allow-list. `timeout` is seconds for
    this attempt, None for none; the caller enforces it and answers with an error that has `timed_out`. `hosts` are
    those that the tool may reach, on the way of redirects as well; None is any.
    """

    path: str
    resume: int
    kind: EffectKind
    name: str
    args: dict[str, Any]
    returns: Any
    retry: RetryPolicy
    timeout: float | None
    attempt: int
    pure: bool
    idempotency_key: str
    fn: Callable[..., Any] | None = None
    tool: Tool[Any] | None = None
    tools: tuple[Tool[Any], ...] = ()
    stage: str | None = None
    hosts: frozenset[str] | None = None


@dataclass(slots=True)
class Timer:
    """A time (milliseconds since the epoch) at which the machine wants a `TimerFired` with this path and due."""

    path: str
    due_ms: int
    resume: int = 0


@dataclass(slots=True)
class Decision:
    """What follows from one message. Entries are appended in order; outputs join their transaction.

    `cancel` are paths whose running effect is to be stopped, softly first. `ended` is set when the function is over.
    """

    entries: list[Entry] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    perform: list[Perform] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    cancel: list[str] = field(default_factory=list)
    ended: Literal["succeeded", "failed", "cancelled"] | None = None
    cuts: list[tuple[int, int]] = field(default_factory=list)

    def cut(self) -> None:
        """Note that what is decided so far may be committed before what follows: a replay goes on from there."""
        self.cuts.append((len(self.entries), len(self.outputs)))

    def pieces(self) -> Iterator[tuple[list[Entry], list[Output]]]:
        """Yield entries and outputs in order, piece by piece: what is in one piece becomes true together."""
        if len(self.entries) + len(self.outputs) < _FEW:
            if self.entries or self.outputs:
                yield self.entries, self.outputs
            return
        entries = outputs = 0
        for cut in [*self.cuts, (len(self.entries), len(self.outputs))]:
            if cut != (entries, outputs):
                yield self.entries[entries : cut[0]], self.outputs[outputs : cut[1]]
            entries, outputs = cut

    def merge(self, other: Decision) -> None:
        """Take a later decision of the same run into this one, so that both are one unit."""
        self.cuts.clear()
        self.entries += other.entries
        self.outputs += other.outputs
        self.perform += other.perform
        self.timers += other.timers
        self.cancel += other.cancel
        self.ended = other.ended or self.ended
