"""A user's package for the tests of schedules."""
