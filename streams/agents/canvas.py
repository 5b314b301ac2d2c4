"""Runs a canvas given as JSON, so that chains, groups, chords and batches need no agent of their own."""

from __future__ import annotations

from typing import Any

from streams import Run, agent


@agent
async def canvas(work: dict[str, Any], run: Run) -> Any:
    """Call what the JSON says: chain, group, chord, batch or one agent, to any depth.

    `{"chain": [{"agent": "planner", "input": {…}}, "research"]}`, `{"group": […]}`,
    `{"chord": {"group": […], "callback": "reviewer"}}`, `{"batch": {"items": […], "size": 20, "callback": "scraper"}}`.
    """
    return await run.call(work)
