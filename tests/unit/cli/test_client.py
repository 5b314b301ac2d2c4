"""The client resumes, repeats what is only moving, and turns problems into one sentence."""

from __future__ import annotations

import httpx
import pytest

from streams.cli.io.client import Gateway, GatewayDown, Refused, ServerEvent, UnexpectedAnswer, parse_events
from streams.contract.runs import RunUnfinished

pytestmark = pytest.mark.unit


def served(*answers: httpx.Response | httpx.TransportError) -> Gateway:
    """Return a client whose requests get these answers, in turn."""
    waiting = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        found = next(waiting)
        if isinstance(found, httpx.TransportError):
            raise found
        return found

    gateway = Gateway("http://gateway")
    gateway._http = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer))
    return gateway


def test_events_are_parsed_as_the_standard_says() -> None:
    lines = [": hello", "id: 7", "event: step", 'data: {"a":', "data: 1}", "", "event: ping", "", "data: text", ""]
    assert list(parse_events(iter(lines))) == [ServerEvent("7", "step", {"a": 1}), ServerEvent("", "message", "text")]


def test_a_problem_is_one_sentence_that_names_the_fields() -> None:
    problem = {"detail": "The input does not fit.", "errors": [{"field": "input.number", "message": "not an integer"}]}
    with pytest.raises(Refused) as caught, served(httpx.Response(422, json=problem)) as gateway:
        gateway.post("/runs", {})
    assert str(caught.value) == "The input does not fit. input.number: not an integer. (HTTP 422)"
    assert caught.value.status == 422


def test_a_read_waits_while_the_owner_moves() -> None:
    moving = httpx.Response(503, json={"detail": "restoring"}, headers={"retry-after": "0"})
    with served(moving, moving, httpx.Response(200, json={"key": "k"})) as gateway:
        assert gateway.get("/tables/t/k") == {"key": "k"}


def test_a_write_is_not_repeated() -> None:
    with pytest.raises(Refused), served(httpx.Response(503, json={"detail": "broker"})) as gateway:
        gateway.post("/runs", {})


def test_no_gateway_says_how_to_start_one() -> None:
    with pytest.raises(GatewayDown, match="streams dev"), served(httpx.ConnectError("refused")) as gateway:
        gateway.get("/runs")


def test_nothing_of_an_unexpected_body_is_lost() -> None:
    with pytest.raises(Refused, match="a proxy's page"), served(httpx.Response(404, text="a proxy's page")) as gateway:
        gateway.get("/runs")


def test_a_missing_key_names_the_setting_that_has_it() -> None:
    problem = {"detail": "Send a live API key as 'Authorization: Bearer KEY'."}
    with served(httpx.Response(401, json=problem)) as gateway, pytest.raises(Refused, match="STREAMS_API_KEY"):
        gateway.get("/runs")


def test_an_answer_is_read_as_its_model_and_keeps_what_a_newer_gateway_adds() -> None:
    body = {"run_id": "r", "status": "queued", "newer": 1}
    with served(httpx.Response(200, json=body)) as gateway:
        assert gateway.read(RunUnfinished, "/runs/r/result").to_json() == body


def test_an_answer_of_another_shape_names_the_member_and_the_remedy() -> None:
    wrong = pytest.raises(UnexpectedAnswer, match=r"RunUnfinished \(status: .*same version")
    with wrong, served(httpx.Response(200, json={"run_id": "r"})) as gateway:
        gateway.read(RunUnfinished, "/runs/r/result")
