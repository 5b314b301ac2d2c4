"""How a model call fails, split by what helps: waiting, changing the request, or nothing."""

from __future__ import annotations

from streams.define.policies import Reject, Retry
from streams.errors import StreamsError


class ModelError(StreamsError):
    """Raised by every chat model when no answer came; trying again may help."""


class ModelBusyError(ModelError, Retry):
    """Raised when the endpoint asks for a pause: HTTP 408, 409, 429, 503 and 529; `after` is in seconds, or unknown."""


class ModelRefusedError(ModelError, Reject):
    """Raised when the same request can never succeed: a bad key, an unknown model, an ill-formed request."""


class InvalidAnswerError(ModelError):
    """Raised by `structured` when the answer still does not fit its type after one repair round."""
