"""Reactions on this worker: many in flight, in order per key, and never in the way of their partition."""
