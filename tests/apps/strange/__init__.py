"""Agents, reactions and steps that do what no code should."""
