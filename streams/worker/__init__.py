"""The worker: Faust's programming model on a librdkafka runtime with group commit; see docs/explanation/."""
