"""Following survives a broken stream, misses nothing, and ends with the run."""

from __future__ import annotations

from typing import Any

import pytest

from streams.cli.follow import describe, follow, watch
from streams.cli.io.client import Gateway, GatewayDown, Refused, ServerEvent
from streams.cli.io.options import OutputFormat
from streams.engine.view import RunView
from streams.errors import StreamsError

pytestmark = pytest.mark.unit


def state(**members: Any) -> dict[str, Any]:
    """Return the state of a run as a gateway answers it."""
    return {**RunView("r", "asker").to_json(), **members}


def entry(seq: int) -> dict[str, Any]:
    """Return an entry of a journal as a gateway answers it."""
    optional = dict.fromkeys(("stage", "started_at", "finished_at", "input", "output", "error", "usage"))
    return {"seq": seq, "path": str(seq), "kind": "tool", "name": "t", "status": "completed", "attempt": 1, **optional}


class Broken(Gateway):
    """A gateway whose first stream breaks after one event."""

    def __init__(self, status: str = "succeeded") -> None:
        self.asked: list[str | None] = []
        self.status = status

    def events(self, path: str, *, last: str | None = None) -> Any:
        self.asked.append(last)
        yield ServerEvent(str(len(self.asked)), "status", {"status": "running"})
        if len(self.asked) == 1:
            message = "gone"
            raise GatewayDown(message)
        yield ServerEvent("9", "done", {"status": self.status})

    def get(self, path: str, /, **params: Any) -> Any:
        if path.endswith("/result"):
            return {"run_id": "r", "result": {"ok": True}}
        return state(status=self.status if len(self.asked) > 1 else "running", error={"message": "why"})


def test_a_broken_stream_is_resumed_after_the_last_event() -> None:
    gateway = Broken()
    assert [event.name for event in watch(gateway, "r")] == ["status", "status", "done"]
    assert gateway.asked == [None, "1"]


class Silent(Broken):
    """A gateway without event streams, whose run ends at the second look."""

    def events(self, path: str, *, last: str | None = None) -> Any:
        self.asked.append(last)
        raise Refused(404, {"detail": "no such resource"})

    def get(self, path: str, /, **params: Any) -> Any:
        self.asked.append(path)
        if path.endswith("/history"):
            looks = self.asked.count(path)
            return {"entries": [entry(seq) for seq in range(1, looks + 1)]}
        looks = self.asked.count(path)
        return state(status="running" if looks < 3 else "succeeded", progress=50)


def test_without_a_stream_the_run_is_asked_and_nothing_is_told_twice() -> None:
    events = list(watch(Silent(), "r"))
    assert [(event.id, event.name) for event in events] == [
        ("1", "step"),
        ("1", "progress"),
        ("2", "step"),
        ("2", "done"),
    ]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"progress": 20, "message": "plan ready", "stage": None}, "[blue]20% [/]plan ready"),
        ({"progress": None, "message": "looking", "stage": "PLAN"}, "[blue][/]looking"),
        ({"progress": 50, "stage": "PLAN"}, "[blue]50% [/]PLAN"),
    ],
)
def test_progress_is_told_in_percent_and_words(data: dict[str, Any], line: str) -> None:
    assert describe(ServerEvent("1", "progress", data)).endswith(line)


def test_success_prints_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(Broken(), "r", OutputFormat.TEXT) == 0
    assert '"ok": true' in capsys.readouterr().out


def test_failure_is_an_error_with_its_cause() -> None:
    with pytest.raises(StreamsError, match=r"failed.*why"):
        follow(Broken("failed"), "r", OutputFormat.JSON)


class Expired(Broken):
    """A gateway with a run whose history was deleted."""

    def get(self, path: str, /, **params: Any) -> Any:
        return state(status="expired", reason="its history was deleted after STREAMS_HISTORY_DAYS")


def test_an_expired_run_ends_with_its_reason() -> None:
    with pytest.raises(StreamsError, match=r"Run r expired: its history was deleted after STREAMS_HISTORY_DAYS"):
        follow(Expired("expired"), "r", OutputFormat.TEXT)
