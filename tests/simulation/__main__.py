"""`python -m tests.simulation`: replay a seed with its trace, or search for seeds that fail."""

from __future__ import annotations

import argparse
import ctypes
import os
import sys

SETTLED = "SIMULATION_SETTLED"


def settle() -> None:
    """Start this interpreter again without what differs from process to process: hash seed and addresses."""
    if os.environ.get(SETTLED) == "1":
        return
    no_random = 0x0040000
    ctypes.CDLL(None).personality(no_random)  # refused in some containers, where addresses then differ
    os.environ |= {SETTLED: "1", "PYTHONHASHSEED": "0"}
    os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="replay this seed with a readable trace")
    parser.add_argument("--from", dest="start", type=int, default=1, help="first seed of a search")
    parser.add_argument("--seeds", type=int, help="search so many seeds")
    parser.add_argument("--list", type=int, nargs="*", metavar="SEED", help="run these seeds")
    parser.add_argument("--new", action="store_true", help="begin the search at a seed that the clock gives")
    parser.add_argument("--minutes", type=float, help="search for so many minutes")
    parser.add_argument("--jobs", type=int, default=1, help="processes beside each other")
    parser.add_argument("--calm", action="store_true", help="without faults")
    parser.add_argument("--hours", type=float, default=0.0, help="virtual hours of quiet at the end of each run")
    parser.add_argument("--mutation", help="plant this fault first; see mutations.py")
    parser.add_argument("--shrink", type=int, metavar="SEED", help="find a smaller plan that fails as this seed does")
    parser.add_argument("--stop", action="store_true", help="end a search with the first failure")
    asked = parser.parse_args()
    settle()
    from tests.simulation import runner

    return runner.run(asked)


if __name__ == "__main__":
    sys.exit(main())
