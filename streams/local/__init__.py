"""What makes one machine enough: an embedded Kafka, a local model and a supervisor of a pipeline's processes."""
