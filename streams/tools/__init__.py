"""Tools that ship: what agents may call, one tool a file, and the guards between a model's wish and the outside."""
