"""Schedules on this worker: each is kept by the slice that its name falls into, and fires each slot once."""
