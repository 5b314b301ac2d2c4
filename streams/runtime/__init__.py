"""Faust's programming model on librdkafka: assignments, partition stores and exactly-once commits. Knows no agents."""
