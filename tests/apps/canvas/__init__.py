"""Agents and reactions of the named scenarios, with what they did in files."""
