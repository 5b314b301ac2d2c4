"""Turns what executions asked for into findings: one for each line of the user's code that is to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.testing.impurity import USE_INSTEAD
from streams.testing.torture_report import FindingKind, TortureFinding

if TYPE_CHECKING:
    from streams.testing.impurity import Site
    from streams.testing.torture_harness import Ask, Divergence, TortureHarness, TorturePlan
    from streams.testing.user_functions import Place

_EFFECTS = frozenset({"step", "tool", "llm"})


class Findings:
    """The findings of one run, the first of each line."""

    def __init__(self) -> None:
        self._found: dict[tuple[FindingKind, str], TortureFinding] = {}
        self._unexplained: dict[str, TortureFinding] = {}
        self._explained: set[str] = set()  # what a cause was found for

    def found(self) -> tuple[TortureFinding, ...]:
        """Return the findings; one without a cause only where none with a cause explains it."""
        rest = [finding for place, finding in self._unexplained.items() if not self._explained]
        return (*self._found.values(), *rest)

    def outside(self, what: str, places: list[Place]) -> None:
        """Add an effect on the outside that the function has itself."""
        inner, outer = _text(places[0]), _text(places[-1])
        by = "" if inner == outer else f" by {inner}"
        effect = f"{what}{by}; it would happen again in each replay, so it was refused here"
        use = "a step or tool: `await run.step(function, …)`"
        self._add("effect-outside", outer, f"{what} outside of a step", effect, use)

    def state(self, name: str, places: list[Place], base: TortureHarness, divergence: Divergence | None) -> None:
        """Add a variable that the function changes, and what became different by it, if anything did."""
        if not places:
            return
        inner, outer = _text(places[0]), _text(places[-1])
        by = "" if inner == outer else f" by {inner}"
        effect = f"each replay changes it again{by}"
        if divergence is not None:
            effect += "\n" + self._difference(base, "a replay", divergence)
        self._explained.add(outer)
        use = "a local variable, the input or the result of a step"
        self._add("shared-state", outer, f"changes {name}, which runs and replays share", effect, use)

    def shaken(self, site: Site, base: TortureHarness, plan: TorturePlan, divergence: Divergence) -> None:
        """Add a place whose answer decides what the function asks for."""
        effect = self._difference(base, str(plan), divergence)
        place = f"{site.file}:{site.line}"
        self._add("nondeterminism", place, f"{site.what} decides what a replay does", effect, USE_INSTEAD[site.kind])

    def unexplained(
        self, base: TortureHarness, plan: TorturePlan, divergence: Divergence, read: tuple[str, Place] | None
    ) -> None:
        """Add a difference that no place explains; `read` is a variable that steps change, and who reads it."""
        if read is not None:
            effect = self._difference(base, str(plan), divergence)
            use = "the results of steps: they are the same in each replay"
            self._add("shared-state", _text(read[1]), f"reads {read[0]}, which steps change", effect, use)
            return
        ask = divergence.ask or base.ask(divergence.run_id, divergence.path)
        place = "an unknown line:0" if ask is None else ask.place
        if place not in self._unexplained:
            use = "only the input, results of operations, run.now() and run.random() to decide what comes next"
            effect = self._difference(base, str(plan), divergence, note=False)
            cause = "a replay does something else, and nothing seen in the function explains it"
            self._unexplained[place] = TortureFinding("nondeterminism", place, cause, effect, use)

    def retried(self, ask: Ask, again: Ask) -> None:
        """Add an effect that is asked for again after its answer was lost."""
        effect = (
            f"when the answer of {ask} (path {ask.path}) is lost, {again} is executed at path {again.path}: "
            "the outside sees another idempotency key and does it twice"
        )
        use = "retry=RetryPolicy(attempts=…), which keeps the key; or pure=True for a step without effect"
        self._add(
            "retry-under-new-key", again.place, f"tries {again.kind} {again.name} again as a new one", effect, use
        )

    def _add(self, kind: FindingKind, place: str, cause: str, effect: str, use: str) -> None:
        self._found.setdefault((kind, place), TortureFinding(kind, place, cause, effect, use))

    def _difference(self, base: TortureHarness, when: str, divergence: Divergence, *, note: bool = True) -> str:
        """Return what was asked for at first and then; note that it is explained."""
        if note:
            self._explained.add(divergence.path)
        if not divergence.path:
            return f"with {when} the run ends otherwise: another result, from the same journal"
        first, then = base.ask(divergence.run_id, divergence.path), divergence.ask
        lines = [f"{when}, at path {divergence.path}" + (f" ({_line(then or first)})" if then or first else "")]
        lines.append(f"  at first  {'nothing' if first is None else first}")
        lines.append(f"  then      {'nothing' if then is None else then}")
        if then is not None and then.kind in _EFFECTS:
            lines.append("a crash before its entry executes it again, under another idempotency key")
        return "\n".join(lines)


def _line(ask: Ask | None) -> str:
    return "" if ask is None else ask.place.rpartition("/")[2]


def _text(place: Place) -> str:
    return f"{place[0]}:{place[1]}"
