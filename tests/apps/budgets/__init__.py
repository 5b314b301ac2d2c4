"""Agents with budgets, which ask the model."""
