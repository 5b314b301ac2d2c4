"""Runs the generator."""

from docs.generate import main

main()
