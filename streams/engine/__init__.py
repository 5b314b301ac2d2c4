"""Durable execution, pure and synchronous: messages in, decisions out; no Kafka, no loop, no clock of its own."""
