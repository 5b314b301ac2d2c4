"""The errors that Streams raises on purpose, under one base, so that callers can tell them from bugs."""


class StreamsError(Exception):
    """Base of every error that Streams raises; its message is one line that says what to do next."""
