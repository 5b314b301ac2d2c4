"""What makes one machine enough: an embedded Kafka, a local model and the processes of a pipeline, kept together."""
