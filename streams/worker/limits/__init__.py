"""Limits that hold over all workers: rates, places, shared answers and breakers of tools and agents."""
