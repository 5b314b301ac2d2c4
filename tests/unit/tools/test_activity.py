"""The board that tells the loop monitor what a process is at."""

from __future__ import annotations

import subprocess
import sys

FORKED = """
import mmap, os
from streams.activity import BOARD, HEAD

def turned():
    return HEAD.unpack_from(mmap.mmap(BOARD.file, HEAD.size, prot=mmap.PROT_READ), 0)[0]

child = os.fork()
if child == 0:
    BOARD.beat()
    os._exit(0 if turned() else 1)
assert os.waitpid(child, 0)[1] == 0, "the child has no board"
assert turned() == 0.0, "the child beats on its parent's board"
"""


def test_a_forked_process_has_a_board_of_its_own() -> None:
    """On a shared one the beats of one worker hide that another one's event loop is blocked."""
    subprocess.run([sys.executable, "-c", FORKED], check=True)
