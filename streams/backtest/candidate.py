"""What is to be proved: another version of an agent, another prompt, another model, or other settings of models."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from streams.backtest.answers import USUAL_ROLE
from streams.backtest.errors import BacktestError
from streams.choices import ModelRole
from streams.define.agents import Agent
from streams.errors import StreamsError
from streams.model.prompts import Prompt

if TYPE_CHECKING:
    from streams.settings import Settings

_FORMS: Final = "MODULE, MODULE:AGENT, FILE.py, FILE.py:AGENT, prompt=NAME:FILE, model=ROLE:MODEL or setting=NAME:VALUE"
_MODEL_SETTINGS: Final = "llm_"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What runs in the candidate's lane: agents by name, and the settings that its models are made from.

    `other_models` are the roles whose recorded answers do not count, since another model is asked.
    """

    specs: tuple[str, ...]
    agents: Mapping[str, Agent[Any, Any]]
    settings: Settings
    other_models: frozenset[str] = frozenset()


def load_candidate(
    specs: Sequence[str], name: str, agents: Mapping[str, Agent[Any, Any]], settings: Settings
) -> Candidate:
    """Return the candidate for the agent `name`, one of `agents`; raise BacktestError for a form that is none.

    Several forms change one candidate: first its code, then its prompts, models and settings.
    """
    kinds: dict[str, list[tuple[str, str]]] = {"prompt": [], "model": [], "setting": []}
    modules: list[str] = []
    for spec in specs:
        kind, equals, rest = spec.partition("=")
        if not equals:
            modules.append(spec)
        elif kind in kinds:
            kinds[kind].append(_pair(spec, rest))
        else:
            raise BacktestError(f"--candidate {spec!r} is none of {_FORMS}")
    if len(modules) > 1:
        raise BacktestError(f"--candidate names two versions of the code: {', '.join(modules)}: leave one out")
    changed = dict(agents)
    for module in modules:
        changed |= _agents_of(module, name)
    if kinds["prompt"]:
        changed |= _with_prompts(changed[name], [(prompt, Path(file)) for prompt, file in kinds["prompt"]])
    made = _with_settings(settings, kinds["setting"], kinds["model"])
    return Candidate(tuple(specs), changed, made, other_models(settings, made))


def other_models(before: Settings, after: Settings) -> frozenset[str]:
    """Return the roles that mean another model, or one at another endpoint."""
    old, new = _models(before), _models(after)
    return frozenset(role for role in new if old.get(role, old[USUAL_ROLE]) != new[role])


def _pair(spec: str, text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name and value):
        kind = spec.partition("=")[0]
        form = next(one for one in _FORMS.replace(" or ", ", ").split(", ") if one.startswith(f"{kind}="))
        raise BacktestError(f"--candidate {spec!r} is not {form}")
    return name, value


# code


def _agents_of(spec: str, name: str) -> dict[str, Agent[Any, Any]]:
    """Return the agents of a module by the names that they take; the one that is meant takes `name`."""
    place, _, chosen = spec.partition(":")
    module = _from_file(Path(place), f"candidate_{Path(place).stem}") if place.endswith(".py") else _imported(place)
    own = {one.name: one for one in vars(module).values() if isinstance(one, Agent)}
    if chosen:
        if chosen not in own:
            raise BacktestError(f"{place} has no agent {chosen!r}: there are {', '.join(sorted(own)) or 'none'}")
        return {name: replace(own[chosen], name=name)}
    if name in own:
        return own
    if len(own) == 1:
        return {name: replace(next(iter(own.values())), name=name)}
    raise BacktestError(
        f"{place} has no agent {name!r}: say which one takes its place, as {place}:AGENT "
        f"({', '.join(sorted(own)) or 'it has none'})"
    )


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # users' code may raise anything
        raise BacktestError(
            f"the candidate {name} cannot be imported ({type(error).__name__}: {error}): give one of {_FORMS}"
        ) from error


def _from_file(path: Path, name: str, package: str = "") -> ModuleType:
    """Import a file under a name of its own, beside a module that has been imported from it already."""
    full = f"{package}.{name}" if package else name
    spec = importlib.util.spec_from_file_location(full, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BacktestError(f"the candidate {path} is no Python file: give one of {_FORMS}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module  # annotations of its classes are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # users' code may raise anything
        del sys.modules[full]
        raise BacktestError(f"the candidate {path} cannot be imported ({type(error).__name__}: {error})") from error
    return module


# prompts


def _with_prompts(agent: Agent[Any, Any], prompts: Iterable[tuple[str, Path]]) -> dict[str, Agent[Any, Any]]:
    """Return the agents of a second copy of the agent's module, in which prompts have other texts."""
    original = sys.modules[agent.fn.__module__]
    file = getattr(original, "__file__", None)
    if file is None:
        raise BacktestError(f"agent {agent.name} is in no file, so its prompts cannot be replaced: give FILE.py")
    copy = _from_file(Path(file), f"candidate_{original.__name__.rpartition('.')[2]}", original.__package__ or "")
    for name, path in prompts:
        _replace_prompt(copy, name, path)
    found = {one.name: one for one in vars(copy).values() if isinstance(one, Agent)}
    own = {name: one for name, one in found.items() if one.fn.__module__ == copy.__name__}
    if agent.name in own:
        return own
    return {agent.name: replace(own[agent.fn.__name__], name=agent.name)}


def _replace_prompt(module: ModuleType, name: str, path: Path) -> None:
    """Replace the text of a prompt of a module: a Prompt is found by its name or variable, a text by its variable."""
    if not path.is_file():
        raise BacktestError(f"--candidate prompt={name}:{path}: there is no file {path}")
    prompts = {variable: one for variable, one in vars(module).items() if isinstance(one, Prompt)}
    found = [variable for variable, one in prompts.items() if name in (variable, one.name)]
    if found:
        vars(module).update(dict.fromkeys(found, Prompt(path)))
    elif isinstance(vars(module).get(name), str):
        vars(module)[name] = path.read_text("utf-8").strip()
    else:
        there = sorted({one.name for one in prompts.values()} | _texts(module))
        raise BacktestError(f"{module.__file__} has no prompt {name!r}: there are {', '.join(there) or 'none'}")


def _texts(module: ModuleType) -> set[str]:
    return {name for name, one in vars(module).items() if isinstance(one, str) and name.isupper()}


# models and settings


def _with_settings(
    settings: Settings, values: Iterable[tuple[str, str]], models: Iterable[tuple[str, str]]
) -> Settings:
    changes: dict[str, object] = {}
    for name, value in values:
        field = name.lower().removeprefix("streams_")
        if not field.startswith(_MODEL_SETTINGS) or field not in type(settings).model_fields:
            known = ", ".join(one.upper() for one in type(settings).model_fields if one.startswith(_MODEL_SETTINGS))
            raise BacktestError(
                f"--candidate setting={name}:{value}: a run depends on no such setting, only on {known}"
            )
        changes[field] = value
    try:
        changed = settings.changed("candidate", **changes) if changes else settings
        roles = dict(changed.llm_roles)
        for role, model in models:
            if role == USUAL_ROLE and role not in roles:
                changed = changed.changed("candidate", llm_model=model)
            else:
                roles[role] = roles.get(role, ModelRole()).model_copy(update={"model": model})
        return changed.changed("candidate", llm_roles=roles) if roles != dict(changed.llm_roles) else changed
    except ValueError as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BacktestError(f"--candidate: a setting has no possible value ({problem})") from error
    except StreamsError as error:
        raise BacktestError(f"--candidate: {error}") from error


def _models(settings: Settings) -> dict[str, tuple[str | None, str | None]]:
    """Return endpoint and model of each role that the settings name, and of the usual one."""
    usual = settings.llm_roles.get(USUAL_ROLE, ModelRole())
    roles = {USUAL_ROLE: usual, "fast": usual, "smart": usual, **settings.llm_roles}
    return {
        name: (
            role.base_url or settings.llm_base_url,
            role.model or (settings.llm_model if not role.base_url else None),
        )
        for name, role in roles.items()
    }
