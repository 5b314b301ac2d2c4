"""Ends a worker whose event loop is blocked, from a process of its own, and keeps on the log what blocked it."""
