"""Topics as data, and reading and writing them; users import ``Topic`` from here."""

from topics.topic import Topic

__all__ = ["Topic"]
