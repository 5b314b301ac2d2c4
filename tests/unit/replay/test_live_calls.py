"""What a replay asks of the outside is written as a worker writes it: with nothing secret in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streams import RetryPolicy, tool
from streams.engine.decision import Perform
from streams.engine.entry import Entry
from streams.model.ask import ask
from streams.model.reach import HOSTS
from streams.model.scripted_model import ScriptedModel
from streams.replay import live_calls, shadow
from streams.telemetry import MASK, keep_secret

CANARY = "canary-7f3a-secret"


@pytest.fixture(autouse=True)
def secret() -> Iterator[None]:
    keep_secret([CANARY])
    yield
    keep_secret(())


@tool
def echo(text: str, headers: dict[str, str]) -> dict[str, Any]:
    """Say what came, and where the call may go."""
    return {"text": text, "headers": headers, "hosts": sorted(HOSTS.get() or ())}


def perform(kind: Any, args: dict[str, Any], **more: Any) -> Perform:
    return Perform("1", 0, kind, "it", args, None, RetryPolicy(), None, 1, pure=False, idempotency_key="k", **more)


async def test_a_tool_called_again_leaves_no_secret_in_answer_and_record() -> None:
    args = {"text": f"at {CANARY}", "headers": {"Authorization": "Bearer abc123"}}
    answer, record = await live_calls.tool_call("r1", perform("tool", args, tool=echo, hosts=frozenset({"a.example"})))
    assert answer["text"] == f"at {MASK}"
    assert answer["hosts"] == ["a.example"]
    written = record.model_dump_json()
    assert CANARY not in written
    assert "abc123" not in str(record.request)


async def test_a_model_asked_again_leaves_no_secret_in_answer_and_record() -> None:
    model = ScriptedModel(f"it is {CANARY}")
    asked = perform("llm", {"prompt": f"password: hunter2 {CANARY}", "args": []})
    answered = await live_calls.question(asked, model)
    assert answered.value == f"it is {MASK}"
    (record,) = live_calls.records("r1", asked, answered.calls)
    assert CANARY not in record.model_dump_json()
    assert "hunter2" not in record.model_dump_json()
    plain = await ask(ScriptedModel("x"), "password: hunter2")
    assert "hunter2" in str(plain.calls[0].request)  # what is sent is whole: only what is written is masked


async def test_a_shadow_journal_shows_inputs_as_a_worker_s_does(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    class Codec:
        def encode(self, record: Any) -> bytes:
            written.append(record)
            return b""

    class Log:
        codec = Codec()

    async def keyed(*_: Any) -> None:
        return None

    there = object.__new__(shadow.Shadow)
    monkeypatch.setattr(there, "_log", Log(), raising=False)
    monkeypatch.setattr(there, "_keyed", keyed, raising=False)
    for kind in ("tool", "submitted"):
        await there.entry(
            "default", Entry.from_dict({"run_id": "r", "path": "1", "kind": kind, "input": {"token": CANARY}})
        )
    assert written[0].input == {"token": MASK}
    assert written[1].input == {"token": CANARY}  # what a run is begun with again
