"""A user's package for the tests of replays: an agent whose every call to the outside can be counted."""
