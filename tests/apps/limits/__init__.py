"""Agents and tools with limits, whose calls leave lines with times in files."""
