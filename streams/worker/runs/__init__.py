"""Runs on this worker: from the queue into the journal, driven by their machines, carried out on the log."""
