"""A user's package for the tests of queues: agents with a concurrency key, and one that lives in a pool of its own."""
