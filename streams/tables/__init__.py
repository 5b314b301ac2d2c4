"""Tables: pure folds of events into rows that can be asked."""
