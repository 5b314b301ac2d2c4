"""Budgets of tokens, money and calls that hold over all workers."""
