"""Errors of requests that concern what the journal no longer has, does not know, or has recorded as harmful."""

from streams.runtime.errors import WorkerError


class LoopBlockedError(WorkerError):
    """The failure of a run whose code has blocked the event loop of its worker again and again."""


class RunExpiredError(WorkerError):
    """Raised for what is asked of a run whose history was deleted; the request becomes a dead letter."""


class UnknownConsumerError(WorkerError):
    """Raised for a redrive to a reaction that this worker's code does not have."""
