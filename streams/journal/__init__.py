"""What workers write to the log and read from it: journal entries, records, dead letters, and keys of their rows."""
