"""Schedules on this worker: each belongs to the assignment that its name falls into, and fires each slot once."""
