"""Runs history again without firing its side effects: reactions, tables and agents over a stretch of the log."""
