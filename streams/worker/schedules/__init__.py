"""Schedules on this worker: each is kept by the assignment that its name falls into, and fires each slot once."""
