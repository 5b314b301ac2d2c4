"""State of owned partitions: slices, units, stores and the group commit that makes them true together."""
