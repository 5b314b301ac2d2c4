"""Which endpoint the settings mean."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from streams.model.errors import ModelRefusedError
from streams.model.model_from_settings import chat_model
from streams.settings import Settings


def settings(**values: object) -> Settings:
    return Settings(_env_file=None).changed("test", llm_base_url=None, llm_api_key=None, **values)


async def test_a_key_alone_means_openai() -> None:
    model = chat_model(settings().changed("test", llm_api_key=SecretStr("k")))
    assert model.name == "gpt-4o-mini"
    await model.aclose()


async def test_a_url_alone_means_that_endpoint_and_its_usual_model() -> None:
    model = chat_model(settings().changed("test", llm_base_url="http://127.0.0.1:1/v1"))
    assert model.name == "local"
    await model.aclose()


def test_neither_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ModelRefusedError, match="streams dev"):
        chat_model(settings())
