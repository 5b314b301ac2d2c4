"""Lets `python -m streams` be the command line, so that the processes we start have readable names."""

from __future__ import annotations

from streams.cli.main import main

if __name__ == "__main__":
    main()
