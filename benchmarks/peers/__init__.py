"""The engines that are measured side by side; each module has `run(bootstrap, topic_in, topic_out, fmt) -> process`."""
