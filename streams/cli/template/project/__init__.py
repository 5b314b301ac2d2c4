"""Templates of the files of a new project."""
