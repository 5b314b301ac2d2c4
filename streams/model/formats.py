"""How an endpoint is asked for JSON: by a schema, by the word that it is to be JSON, or by the prompt alone.

Some endpoints know no `response_format` of type `json_schema`, some none at all, and say so by 400 or 422. Then the
schema goes into the prompt. The recorded request stays what was meant: the form is the endpoint's affair.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson

FIELD: Final = "response_format"
FORMS: Final = ("json_schema", "json_object", "prompt")
REFUSED: Final = frozenset({400, 404, 415, 422, 500, 501})
_NAMES: Final = ("response_format", "response format", "json_schema", "json schema", "json_object", "structured output")
_OWN_FAULT: Final = "invalid schema"  # of one request: says nothing of others

log = logging.getLogger(__name__)


class Formats:
    """The form that each model of an endpoint takes, as far as that is known."""

    def __init__(self) -> None:
        self._forms: dict[str, int] = {}

    def known(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a request's body in the form that its model takes."""
        return _adapted(body, self._forms.get(str(body.get("model")), 0))

    def other(self, body: dict[str, Any], status: int, words: str) -> dict[str, Any] | None:
        """Return a refused request's body in the next form; None if it was not refused for its form, or was the last.

        Each call moves on by one form, so there are two more requests at most. What an endpoint refuses costs nothing.
        """
        text = words.lower()
        if status not in REFUSED or FIELD not in body or not any(name in text for name in _NAMES):
            return None
        form = FORMS.index(body[FIELD]["type"]) + 1 if body[FIELD].get("type") in FORMS else len(FORMS)
        if form >= len(FORMS):
            return None
        if _OWN_FAULT not in text:
            model = str(body.get("model"))
            self._forms[model] = max(self._forms.get(model, 0), form)
            log.warning("model %s takes no %s; it is asked by %s from now on", model, FORMS[form - 1], FORMS[form])
        return _adapted(body, form)


def _adapted(body: dict[str, Any], form: int) -> dict[str, Any]:
    if form == 0 or FIELD not in body:
        return body
    rest = {name: value for name, value in body.items() if name != FIELD}
    wanted = body[FIELD].get("json_schema")
    if wanted is not None:
        messages = list(body["messages"])
        shown = orjson.dumps(wanted["schema"]).decode()
        asked = f"Answer with JSON that follows this schema, and with nothing else:\n{shown}"
        messages[-1] = {**messages[-1], "content": f"{messages[-1]['content']}\n\n{asked}"}
        rest["messages"] = messages
    return rest | {FIELD: {"type": FORMS[form]}} if FORMS[form] == "json_object" else rest
