"""Limits that hold over all workers: rates, concurrency, budgets, keys, breakers, and answers that calls share."""
