"""Concurrency keys: runs with an equal field of their input go one at a time, over all partitions and workers."""
