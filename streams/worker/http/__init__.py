"""The worker's own HTTP, for gateways: what it owns, read from committed rows."""
