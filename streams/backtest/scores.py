"""The scorers that `--score` names: a field that is equal, a user's function or evaluator, a judge."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streams.backtest.errors import BacktestError
from streams.backtest.scorer import ScoredRun, Scorer, identifier, number
from streams.user_code import awaited, called

FIELD: Final = "field:"
JUDGE: Final = "judge:"
PARTS: Final = {
    "run_id": "run_id",
    "input": "input",
    "expected": "expected",
    "observed": "expected",
    "output": "output",
    "result": "output",
    "status": "status",
    "error": "error",
    "seconds": "seconds",
    "cost_usd": "cost_usd",
}
"""What a function's parameter may be called, and the field of `ScoredRun` that it gets."""
_FORMS: Final = "MODULE:FUNCTION, field:NAME.NAME or judge:RUBRIC.md"


@dataclass(frozen=True, slots=True)
class FieldScorer:
    """1 where a field of the result is as it was observed, 0 where it is not."""

    path: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name of its score: that of the field."""
        return (identifier(".".join(self.path)),)

    async def score(self, run: ScoredRun) -> Mapping[str, float | None]:
        """Return whether the field is equal."""
        return {self.names[0]: float(_field(run.output, self.path) == _field(run.expected, self.path))}


@dataclass(frozen=True, slots=True)
class FunctionScorer:
    """A user's function; it returns a number, a truth value or None.

    It takes the parts of the run that its parameters name, by PARTS; with `parts` None it takes the whole `ScoredRun`.
    """

    name: str
    fn: Callable[..., Any]
    parts: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The name of its score: that of the function."""
        return (self.name,)

    async def score(self, run: ScoredRun) -> Mapping[str, float | None]:
        """Return what the function returns; raise BacktestError for what is no score, and for what it raises."""
        try:
            if self.parts is None:
                value = called(self.fn, run)
            else:
                value = called(self.fn, **{part: getattr(run, PARTS[part]) for part in self.parts})
            if inspect.isawaitable(value):
                value = await awaited(value)
        except Exception as error:  # users' code may raise anything
            message = f"score {self.name} failed for run {run.run_id}: {type(error).__name__}: {error}"
            raise BacktestError(message) from error
        return {self.name: number(value, self.name, run.run_id)}


def load_scorers(specs: Sequence[str], judge: Callable[[str, Path], Scorer]) -> list[Scorer]:
    """Return the scorers that `--score` names; raise BacktestError for a form that is none, and a name used twice."""
    scorers: list[Scorer] = []
    for spec in specs:
        if spec.startswith(FIELD) and spec != FIELD:
            scorers.append(FieldScorer(tuple(spec.removeprefix(FIELD).split("."))))
        elif spec.startswith(JUDGE):
            path = Path(spec.removeprefix(JUDGE))
            if not path.is_file():
                raise BacktestError(f"--score {spec}: there is no file {path}: write what a good result is into it")
            scorers.append(judge(identifier(path.stem), path))
        else:
            scorers.append(_user_scorer(spec))
    names = [name for scorer in scorers for name in scorer.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BacktestError(f"--score: two scores are called {', '.join(twice)}: rename one of them")
    return scorers


def _user_scorer(spec: str) -> Scorer:
    place, colon, name = spec.partition(":")
    if not (place and colon and name):
        raise BacktestError(f"--score {spec!r} is none of {_FORMS}")
    try:
        module = importlib.import_module(place)
    except Exception as error:  # users' code may raise anything
        message = f"--score {spec}: {place} cannot be imported ({type(error).__name__}: {error})"
        raise BacktestError(message) from error
    found = getattr(module, name, None)
    evaluators = sys.modules.get("pydantic_evals.evaluators")  # whoever made an evaluator has imported it
    if evaluators is not None:
        kind = evaluators.Evaluator
        if isinstance(found, kind) or (isinstance(found, type) and issubclass(found, kind)):
            from streams.backtest.evaluators import EvaluatorScorer  # noqa: PLC0415 - for those who have the package

            return EvaluatorScorer(name, found() if isinstance(found, type) else found)
    if not callable(found):
        there = sorted(one for one, value in vars(module).items() if callable(value) and not one.startswith("_"))
        raise BacktestError(f"--score {spec}: {place} has no function {name!r}: there are {', '.join(there) or 'none'}")
    return FunctionScorer(identifier(name), found, _parts(found, spec))


def _parts(fn: Callable[..., Any], spec: str) -> tuple[str, ...] | None:
    """Return the parts of a run that a function's parameters name, None for one that takes the whole run."""
    try:
        given = [one for one in inspect.signature(fn).parameters.values() if one.default is one.empty]
    except (TypeError, ValueError):  # a function in C that does not say
        return None
    named = tuple(one.name for one in given if one.name in PARTS and one.kind is not one.POSITIONAL_ONLY)
    if given and len(named) == len(given):
        return named
    if len(given) == 1:
        return None
    raise BacktestError(f"--score {spec} takes the run, or any of {', '.join(PARTS)} by name")


def _field(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
