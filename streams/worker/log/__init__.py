"""The Kafka side of the worker: consumer thread, transactions, restore, start-up probe."""
