"""Agents that benchmarks run."""
