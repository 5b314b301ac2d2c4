"""The HTTP door: it validates, writes to the log, asks owners, and keeps nothing that matters."""
