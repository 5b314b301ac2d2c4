"""The submission that a `StartRun` of a reaction or schedule asks for: a replay makes the same one."""

from __future__ import annotations

from streams.engine.starts import submission

__all__ = ["submission"]
