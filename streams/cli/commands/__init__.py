"""The commands: each module adds its own to the command line, by a function `add_to`."""
