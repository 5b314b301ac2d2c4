"""A user's package for the simulator: every outside effect is noted, and every kind of wait occurs."""
