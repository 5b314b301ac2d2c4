"""Tools that ship: what agents may call, one tool a file, and the guards between a model's wish and the outside.

A user imports them from here: `from streams.tools import scrape_url`. Each is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.tools.batches import batch_api_calls, batch_url_scraping
    from streams.tools.database import execute_database_query
    from streams.tools.documents import search_documents
    from streams.tools.external import call_external_api
    from streams.tools.scrape import scrape_url

_MODULE_OF = {
    "batch_api_calls": "streams.tools.batches",
    "batch_url_scraping": "streams.tools.batches",
    "call_external_api": "streams.tools.external",
    "execute_database_query": "streams.tools.database",
    "scrape_url": "streams.tools.scrape",
    "search_documents": "streams.tools.documents",
}

__all__ = [
    "batch_api_calls",
    "batch_url_scraping",
    "call_external_api",
    "execute_database_query",
    "scrape_url",
    "search_documents",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'streams.tools' has no attribute {name!r}; its tools are {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
