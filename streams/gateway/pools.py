"""The part of an answer that names a pool without a live worker."""

from __future__ import annotations


def no_worker(pool: str) -> dict[str, str]:
    """Return the pool with the reason and what to type."""
    return {"pool": pool, "reason": f"no live worker of pool '{pool}': start one with `streams worker --pool {pool}`"}
