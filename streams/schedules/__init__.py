"""Schedules that ship: useful as they are, and to be read as examples."""
