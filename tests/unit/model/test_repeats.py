"""A conversation is recorded once: rounds refer to the rounds before them, and can be read as they were sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.cli.calls import whole
from streams.model.ask import question
from streams.model.repeats import Repeats, restored


class Log:
    """What a run has recorded, by hash."""

    def __init__(self) -> None:
        self.repeats = Repeats()
        self.requests: dict[str, Any] = {}
        self.sent: list[Any] = []

    def ask(self, request: Any) -> Any:
        name = f"h{len(self.sent)}"
        self.sent.append(request)
        self.requests[name] = kept = self.repeats.shortened(name, request)
        return kept

    @property
    def size(self) -> int:
        return len(orjson.dumps(self.requests))

    def check(self) -> None:
        found = [restored(request, self.requests.__getitem__) for request in self.requests.values()]
        assert found == self.sent


def said(number: int) -> str:
    return "".join(f"{number} says {word}. " for word in range(130))


def turns(count: int) -> dict[str, Any]:
    """Return a conversation as an endpoint takes it, a message a turn."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": said(n)} for n in range(count)], "temperature": 0.1}


def grown(count: int) -> dict[str, Any]:
    """Return what `run.llm(prompt, task, *rounds)` asks, as the loop with tools does."""
    return question("Answer.", ["the task", *({"tool": "look_up", "result": said(n)} for n in range(count))]).to_json()


def listed(count: int) -> dict[str, Any]:
    """Return what `run.llm(prompt, history)` asks, one list that grows."""
    return question("Answer.", [[{"role": "user", "text": said(n)} for n in range(count)]]).to_json()


@pytest.mark.parametrize("shape", [turns, grown, listed])
def test_a_conversation_takes_bytes_that_grow_with_its_length(shape: Any) -> None:
    sizes = []
    for rounds in (10, 20, 40):
        log = Log()
        for count in range(1, rounds + 1):
            log.ask(shape(count))
        log.check()
        sizes.append(log.size)
    whole_size = len(orjson.dumps([shape(count) for count in range(1, 41)]))
    assert sizes[1] - sizes[0] == pytest.approx((sizes[2] - sizes[1]) / 2, rel=0.1)
    assert sizes[2] < whole_size / 7


def test_branches_side_by_side_each_find_their_own() -> None:
    log = Log()
    for count in range(1, 9):
        log.ask(turns(count))
        log.ask(question("Sum up.", [said(100 + count)]).to_json())
    log.check()
    assert log.size < 30 * len(said(0))


def test_a_short_request_and_one_of_another_kind_stay_whole() -> None:
    log = Log()
    for _ in range(2):
        request = question("Hello?").to_json()
        assert log.ask(request) == request
    assert log.ask({"messages": []}) == {"messages": []}
    assert Repeats().shortened("h", None) is None


def test_a_message_with_tool_calls_is_kept_as_it_is() -> None:
    log = Log()
    wish = {"role": "assistant", "content": said(1), "tool_calls": [{"id": "1", "type": "function", "function": {}}]}
    for count in range(1, 4):
        log.ask({"messages": [*turns(count)["messages"], wish]})
    log.check()


def test_a_changed_text_is_not_taken_for_the_one_before() -> None:
    log = Log()
    log.ask({"messages": [{"role": "user", "content": said(1)}]})
    log.ask({"messages": [{"role": "user", "content": said(1)[:1500] + "!" + said(1)[1501:]}]})
    log.ask({"messages": [{"role": "system", "content": said(1)}]})
    log.ask({"messages": [{"role": "user", "content": said(1) + "more"}]})
    log.check()


def test_references_in_a_circle_are_as_good_as_lost() -> None:
    requests = {name: {"messages": [{"as": other, "messages": 1}]} for name, other in (("a", "b"), ("b", "a"))}
    with pytest.raises(LookupError):
        restored(requests["a"], requests.__getitem__)


def test_a_run_s_calls_are_shown_as_they_were_sent() -> None:
    log = Log()
    for count in range(1, 5):
        log.ask(turns(count))
    calls = [{"hash": name, "request": request} for name, request in log.requests.items()]
    assert [call["request"] for call in whole(calls)] == log.sent
    lost = whole(calls[2:])
    assert [call["request"] for call in lost] == [call["request"] for call in calls[2:]]
