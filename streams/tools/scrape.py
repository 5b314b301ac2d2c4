"""The tool that reads a web page for an agent."""

from __future__ import annotations

from pydantic import BaseModel, HttpUrl, TypeAdapter, ValidationError

from streams import Breaker, Rate, RetryPolicy, minutes, tool
from streams.telemetry import redact
from streams.tools._bounded_process import in_bounded
from streams.tools.errors import FetchRefusedError, LimitExceededError
from streams.tools.fetching import fetch
from streams.tools.outcome import require_success
from streams.tools.robots import require_allowed

URLS: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)
MAX_TEXT = 5_000
READ_S = 10.0  # for one page of up to 5 MB: most take some hundredths
READABLE = frozenset({"text/html", "application/xhtml+xml", "text/plain", "text/markdown", "application/json", ""})


class Page(BaseModel):
    """A page as text; `text` is cut at 5,000 characters, `length` is that of the whole main text."""

    url: str
    title: str | None
    text: str
    length: int


@tool(
    rate=Rate(10, 60.0, host="url"),
    cache=minutes(30),
    timeout=30,
    retry=RetryPolicy(attempts=3),
    breaker=Breaker(failures=5, cooldown=60, per="url"),
)
async def scrape_url(url: HttpUrl) -> Page:
    """Fetch a public web page and return its title and main text, without menus, scripts and styles."""
    address = str(url)
    await require_allowed(address)
    answer = await fetch(address, headers={"Accept": "text/html,application/xhtml+xml,text/plain;q=0.8"})
    require_success(answer)
    if answer.content_type not in READABLE:
        raise FetchRefusedError(f"{answer.url} is {answer.content_type}, not text.")
    kind = answer.headers.get("content-type", "")
    try:
        page = await in_bounded("read_page", READ_S, {"content_type": kind}, answer.body)
    except LimitExceededError as error:
        raise FetchRefusedError(f"{answer.url} is not read: {error}") from error
    return Page(url=redact(answer.url), title=page["title"], text=page["text"][:MAX_TEXT], length=len(page["text"]))


def is_url(text: str) -> bool:
    """Return whether `scrape_url` would take a text as its argument."""
    try:
        URLS.validate_python(text)
    except ValidationError:
        return False
    return True
