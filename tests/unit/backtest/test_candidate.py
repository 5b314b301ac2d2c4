"""A candidate is named in one of five forms; another form says which there are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.backtest.candidate import Candidate, load_candidate
from streams.backtest.errors import BacktestError
from streams.settings import Settings
from tests.unit.backtest import rules
from tests.unit.replay import made

SETTINGS = Settings(llm_base_url="http://127.0.0.1:9/v1", llm_model="small")
RULES = "tests.unit.backtest.rules"


def load(*specs: str, agents: Any = None) -> Candidate:
    return load_candidate(specs, "asker", made.AGENTS if agents is None else agents, SETTINGS)


def test_a_module_has_the_agent_of_that_name() -> None:
    found = load(RULES)
    assert found.agents["asker"] is rules.asker
    assert found.agents["summer"] is made.summer
    assert found.other_models == frozenset()


def test_an_agent_that_is_named_takes_the_place(tmp_path: Path) -> None:
    found = load(f"{RULES}:second").agents["asker"]
    assert (found.name, asyncio.run(found.fn("x"))) == ("asker", "second x")


def test_a_file_is_imported_beside_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text("from streams import agent\n@agent\nasync def better(text: str) -> str:\n    return 'better'\n")
    for spec in (str(file), f"{file}:better"):
        found = load(spec).agents["asker"]
        assert (found.name, asyncio.run(found.fn("x"))) == ("asker", "better")


def test_a_prompt_is_replaced_in_a_copy_of_the_module(tmp_path: Path) -> None:
    file = tmp_path / "judge.md"
    file.write_text("Judge harder.\n")
    found = load(f"prompt=JUDGE:{file}", agents={"asker": rules.asker}).agents["asker"]
    assert found.fn.__globals__["JUDGE"] == "Judge harder."
    assert rules.asker.fn.__globals__["JUDGE"] == "Judge."


def test_a_prompt_file_of_a_shipped_agent_is_replaced_by_its_name(tmp_path: Path) -> None:
    from streams.agents.triage import TRIAGE, triage

    file = tmp_path / "other.md"
    file.write_text("Another prompt.")
    found = load_candidate([f"prompt=triage:{file}"], "triage", {"triage": triage}, SETTINGS).agents["triage"]
    assert found.fn.__globals__["TRIAGE"].text == "Another prompt."
    assert TRIAGE.path.name == "triage.md"


@pytest.mark.parametrize(
    ("spec", "roles"),
    [
        ("model=default:large", {"default", "fast", "smart"}),
        ("model=smart:large", {"smart"}),
        ("setting=LLM_MODEL:large", {"default", "fast", "smart"}),
        ("setting=LLM_BASE_URL:http://127.0.0.1:10/v1", {"default", "fast", "smart"}),
        ("setting=STREAMS_LLM_TIMEOUT:7", set()),
        ("model=default:small", set()),
    ],
)
def test_a_model_is_another_one_for_the_roles_that_mean_it(spec: str, roles: set[str]) -> None:
    assert load(spec).other_models == roles


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["tests.unit.backtest.nowhere"], "cannot be imported"),
        (["nowhere.py"], "is no Python file"),
        ([f"{RULES}:third"], "has no agent 'third': there are asker, second"),
        (["tests.unit.cpu"], "has no agent 'asker'"),
        (["colour=red"], "is none of MODULE, MODULE:AGENT"),
        (["prompt=JUDGE"], "is not prompt=NAME:FILE"),
        (["prompt=JUDGE:nowhere.md"], "there is no file nowhere.md"),
        (["model=large"], "is not model=ROLE:MODEL"),
        (["setting=PARTITIONS:9"], "a run depends on no such setting"),
        (["setting=LLM_TIMEOUT:soon"], "a setting has no possible value"),
        ([RULES, "tests.unit.cpu"], "two versions of the code"),
    ],
)
def test_what_is_no_candidate_says_what_to_write(specs: list[str], message: str) -> None:
    with pytest.raises(BacktestError) as caught:
        load(*specs)
    assert message in str(caught.value)


def test_a_prompt_that_there_is_not_lists_those_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_text("x")
    with pytest.raises(BacktestError, match="has no prompt 'SAY': there are JUDGE"):
        load(f"prompt=SAY:{file}", agents={"asker": rules.asker})
