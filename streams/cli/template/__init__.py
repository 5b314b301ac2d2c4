"""The files that `streams new` starts from; `$name` and `$Name` are replaced, nothing else."""
