"""`streams demo`: the main job end to end on real input, with a crash in the middle; no step is faked."""
