"""The command line: one command group a file; commands import what they need when they run, so that help is instant."""
