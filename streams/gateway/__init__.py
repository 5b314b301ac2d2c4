"""The HTTP server in front of the log and the workers: it validates, writes and asks owners; it has no state."""
