"""A user's package for the tests of workers: agents whose side effects can be counted, a reaction, two tables."""
