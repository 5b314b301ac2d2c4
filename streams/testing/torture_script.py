"""What is tortured: a submission with the signals that a run gets, and the answers of its effects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from schemas.run import RunSubmitted
from streams.engine.entry import INBOX, Entry
from streams.engine.jsonable import from_json, to_json
from streams.engine.messages import CancelAsked, ErrorInfo, Message, SignalArrived

if TYPE_CHECKING:
    from schemas import Event
    from streams.engine.decision import Perform
    from streams.testing.golden_file import GoldenRun

_EFFECTS: Final = frozenset({"llm", "tool", "step"})

Signal = tuple[float, "Event | str", Any]
"""When it comes (seconds after the submission), the event or its name, and the data of a name."""


@dataclass(frozen=True, slots=True)
class EffectAnswer:
    """The end of one attempt; one that never ended has `hangs`."""

    value: Any = None
    error: ErrorInfo | None = None
    usage: dict[str, Any] | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """One run: its submission, and what others sent to it and to its children, by time in ms after the submission."""

    event: RunSubmitted
    letters: tuple[tuple[int, str, Message], ...] = ()

    @classmethod
    def of(cls, event: RunSubmitted, signals: Iterable[Signal]) -> Script:
        """Return the script of a submission and signals of a test."""
        letters = []
        for number, (seconds, signal, data) in enumerate(signals):
            name = signal if isinstance(signal, str) else signal.event_type
            payload = to_json(data if isinstance(signal, str) else signal)
            letters.append((int(seconds * 1000), event.run_id, SignalArrived(f"signal-{number}", name, payload)))
        return cls(event, tuple(sorted(letters, key=lambda letter: letter[0])))

    @classmethod
    def of_golden(cls, golden: GoldenRun) -> Script:
        """Return the script of a recorded run."""
        event, since_ms = golden.submission()
        letters: list[tuple[int, str, Message]] = []
        for run_id, entries in golden.journals.items():
            for entry in entries:
                message = _letter(entry)
                if message is not None:
                    letters.append((max(0, entry.recorded_ms - since_ms), run_id, message))
        return cls(event, tuple(sorted(letters, key=lambda letter: letter[0])))


@dataclass(slots=True)
class Answers:
    """Answers by idempotency key and attempt: the outside does not do again what it knows by its key."""

    attempts: dict[tuple[str, int], EffectAnswer] = field(default_factory=dict)
    recorded: Mapping[str, Entry] = field(default_factory=dict)

    @classmethod
    def of_golden(cls, golden: GoldenRun) -> Answers:
        """Return the answers of a recorded run."""
        decided = [
            entry
            for entries in golden.journals.values()
            for entry in entries
            if entry.kind in _EFFECTS and entry.status in ("completed", "failed")
        ]
        return cls(recorded={f"{entry.run_id}/{entry.path}/{entry.digest[:8]}": entry for entry in decided})

    def add(self, perform: Perform, answer: EffectAnswer) -> None:
        """Keep what an attempt came to."""
        self.attempts[perform.idempotency_key, perform.attempt] = answer

    def find(self, perform: Perform) -> EffectAnswer | None:
        """Return what the attempt came to, None if it was never made."""
        entry = self.recorded.get(perform.idempotency_key)
        if entry is None:
            return self.attempts.get((perform.idempotency_key, perform.attempt))
        if perform.attempt < entry.attempt:
            return EffectAnswer(error=ErrorInfo("Retry", "an attempt that was followed by another one", after=0.0))
        if entry.status == "failed":
            known = entry.error or {}
            timed_out = bool(known.get("timed_out"))
            message = known.get("message", "")
            return EffectAnswer(error=ErrorInfo(known.get("type", ""), message, rejected=True, timed_out=timed_out))
        value = from_json(entry.output, perform.returns) if perform.kind == "step" else entry.output
        return EffectAnswer(value)


def _letter(entry: Entry) -> Message | None:
    if not entry.path.startswith(INBOX):
        return None
    if entry.kind == "signal":
        return SignalArrived(entry.path.removeprefix(INBOX), entry.name, entry.output)
    return CancelAsked(entry.path.removeprefix(INBOX), entry.name) if entry.kind == "cancel" else None
