"""Types become schemas, and texts become values, with one chance to correct."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from streams.model.ask import ask
from streams.model.chat import ChatAnswer
from streams.model.errors import InvalidAnswerError
from streams.model.scripted_model import ScriptedModel
from streams.model.structured_reply import wanted


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Plain:
    pass


class Inner(BaseModel):
    title: str  # a field whose name is also a keyword of JSON schema
    colour: Colour = Colour.RED


class Outer(BaseModel):
    level: Literal["low", "high"]
    inner: Inner
    note: str | None = None
    size: int = Field(ge=0, default=3)


def test_a_schema_is_closed_and_asks_for_every_field() -> None:
    expected = wanted(Outer)
    assert expected is not None
    schema: Any = expected.schema.schema
    assert schema["required"] == ["level", "inner", "note", "size"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Inner"]["required"] == ["title", "colour"]
    assert "title" in schema["$defs"]["Inner"]["properties"]
    assert "default" not in str(schema)
    assert schema["properties"]["size"] == {"minimum": 0, "type": "integer"}
    assert expected.schema.strict


def test_free_form_mappings_cannot_be_enforced() -> None:
    expected = wanted(dict[str, int])
    assert expected is not None
    assert not expected.schema.strict


@pytest.mark.parametrize("returns", [str, Any, None])
def test_text_has_no_schema(returns: Any) -> None:
    assert wanted(returns) is None


def test_what_pydantic_cannot_describe_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="pydantic"):
        wanted(Plain)


@pytest.mark.parametrize(
    ("returns", "line", "value"),
    [
        (Inner, '{"title": "a", "colour": "blue"}', {"title": "a", "colour": "blue"}),
        (Inner, 'Sure:\n```json\n{"title": "a"}\n```\nDone.', {"title": "a", "colour": "red"}),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (int, '{"value": 7}', 7),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (list[Inner], '{"value": [{"title": "x"}]}', [{"title": "x", "colour": "red"}]),
        (str, "plain", "plain"),
    ],
)
async def test_an_answer_is_read_as_its_type(returns: Any, line: str, value: Any) -> None:
    assert (await ask(ScriptedModel(line), "?", returns=returns)).value == value


async def test_one_repair_round_with_the_errors_of_the_first_answer() -> None:
    model = ScriptedModel('{"colour": "green"}', Inner(title="x"))
    answered = await ask(model, "?", returns=Inner)
    assert answered.value == {"title": "x", "colour": "red"}
    assert answered.usage.input_tokens == 2
    assert len(answered.calls) == 2
    assert answered.calls[0].hash != answered.calls[1].hash
    said, correction = model.requests[1].messages[-2:]
    assert (said.role, said.content) == ("assistant", '{"colour": "green"}')
    assert "title" in correction.content
    assert "colour" in correction.content


async def test_a_second_wrong_answer_is_an_error_that_says_what_is_wrong() -> None:
    model = ScriptedModel("nonsense", ChatAnswer('{"title": "x', finish_reason="length"))
    with pytest.raises(InvalidAnswerError, match=r"Inner.*max_tokens"):
        await ask(model, "?", returns=Inner)
