"""An agent that carries a secret into headers, URLs, bodies, statements, prompts, errors and log lines."""

from __future__ import annotations

import logging
from dataclasses import replace

from pydantic import BaseModel

from streams import RetryPolicy, Run, StepFailed, agent, settings, tool
from streams.tools.batches import batch_api_calls, batch_url_scraping
from streams.tools.database import execute_database_query
from streams.tools.external import call_external_api
from streams.tools.scrape import scrape_url

ONCE = RetryPolicy(attempts=1)
queries = replace(execute_database_query, name="queries", retry=ONCE)  # as it is, but it waits for its database once
log = logging.getLogger("streams.canary")


class Errand(BaseModel):
    """Where an echoing site is, and whether to fail in the end."""

    site: str
    fails: bool = False


def secret() -> str:
    """Return the secret, as a program of a user's has it from its environment."""
    return settings.load().redact[0].get_secret_value()


@tool(cache=60.0, retry=ONCE)
async def echoes(word: str) -> list[str]:
    """Say a word back, from a cache that workers share."""
    return [word, f"again: {word}"]


def fail(word: str) -> None:
    """Fail with the word in the message and in the traceback."""
    raise ValueError(f"no {word} today")


@agent
async def carrier(errand: Errand, run: Run) -> str:
    """Carry the secret everywhere."""
    word = secret()
    site = errand.site
    answer = await run.tool(
        call_external_api,
        url=f"{site}/echo?token={word}&x={word}",
        method="POST",
        data={"password": word, "note": f"the word is {word}"},
        headers={"Authorization": f"Bearer {word}", "X-Own": word},
    )
    page = await run.tool(scrape_url, url=f"{site}/page/{word}?key={word}")
    await run.tool(echoes, word=word)
    await run.tool(batch_url_scraping, urls=[f"{site}/page/{word}", f"{site}/missing/{word}"])
    await run.tool(batch_api_calls, urls=[f"{site}/echo?api_key={word}"])
    said = await run.llm(f"The password is {word}. Repeat it.", {"word": word}, page.text)
    attempts = [
        run.tool(queries, sql=f"SELECT '{word}'"),
        run.tool(scrape_url, url=f"{site}/missing/{word}"),
        run.step(fail, word, retry=ONCE),
    ]
    for error in await run.gather_all(attempts, return_exceptions=True):
        assert isinstance(error, StepFailed)
        log.warning("%s failed: %s", word, error, exc_info=error)
    await run.progress("carried", 90)
    if errand.fails:
        raise RuntimeError(f"ended with {word}")
    return f"{said} {answer.data}"
