"""What fault tests are made of: a pipeline of real processes, one that dies on cue, and a ledger that judges."""
