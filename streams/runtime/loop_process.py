"""The loop monitor's process: ends a worker whose event loop stands still, and says which code holds it.

Run as a script, never imported: until it is needed it has only the standard library, so it costs few megabytes. A
thread of the worker could not do its work: it cannot run while C code holds the interpreter's lock.

Its arguments are the descriptors of the activity board and of the file that `faulthandler` writes stacks to, the
worker's process id and the bound in seconds. Its standard input is one line of JSON (see `LoopMonitor`) and then
nothing; its end is the worker's end. The record that it writes is a row of the journal's changelog: whoever owns the
partition next reads it before it starts any run. It is written before the worker is killed, so that no owner is ahead
of it.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import struct
import sys
import time
import uuid
from contextlib import suppress
from typing import Any

HEAD = struct.Struct("=d")
THREAD = struct.Struct("=QQH")
PLACE_BYTES, PLACES = 512, 65  # as in streams.activity

LOOK_S = 0.5
SAMPLE_S = 1.0  # how long threads are watched to see which of them works
SWITCHES = 20  # of a thread in that time: one that waits for the interpreter's lock tries every 5 ms
DUMP_S = 2.0  # for the stacks, which the C handler of the signal writes
ACKNOWLEDGED_S = 10.0  # for the record; a worker that blocks is ended without one, too


def main() -> None:
    """Watch until the worker ends or is ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the worker; with its end this process ends
    board, stacks, pid, bound = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    config = json.loads(sys.stdin.readline())
    memory = mmap.mmap(board, HEAD.size + PLACES * PLACE_BYTES, prot=mmap.PROT_READ)
    if stands_still(memory, pid, bound):
        end(memory, stacks, pid, bound, config)


def stands_still(memory: mmap.mmap, pid: int, bound: float) -> bool:
    """Return True once the loop has not turned for `bound` seconds, False when the worker has ended.

    Time counts only while this process runs and the worker is not stopped: a suspended machine, SIGSTOP and a debugger
    that holds the process block nothing.
    """
    still, last, seen = 0.0, time.monotonic(), 0.0
    while not select.select([sys.stdin], [], [], LOOK_S)[0]:
        now = time.monotonic()
        (beat,) = HEAD.unpack_from(memory, 0)
        if beat != seen or beat == 0.0 or is_stopped(pid):
            seen, still = beat, 0.0
        else:
            still += min(now - last, 2 * LOOK_S)
        last = now
        if still >= bound:
            return True
    return False


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a tracer has stopped the process; unknown outside Linux."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False


def end(memory: mmap.mmap, stacks: int, pid: int, bound: float, config: dict[str, Any]) -> None:
    """Log what blocks the loop, record it, and kill the worker, whatever becomes of the first two."""
    with suppress(ProcessLookupError):  # the worker has ended by itself
        try:
            diagnose(memory, stacks, pid, bound, config)
        except ProcessLookupError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever prevents the record from reaching the log, the worker must not go on
            log(config, f"what blocks the event loop could not be found or recorded: {error!r}")
        send(pid, signal.SIGKILL)


def send(pid: int, number: int) -> None:
    """Send a signal to the worker; raises ProcessLookupError once it has ended: another process may have its id."""
    if os.getppid() != pid:
        raise ProcessLookupError(pid)
    os.kill(pid, number)


def diagnose(memory: mmap.mmap, stacks: int, pid: int, bound: float, config: dict[str, Any]) -> None:
    """Log what blocks the loop and record it; raises what prevents that."""
    threads = read_threads(memory)
    place = blocker(threads, pid)
    where = place_of(stack_of(dumped(stacks, pid, config["signal"]), threads[place][1]), config["not_users"])
    text = threads[place][2]
    kind, partition, name, what = text.split("\x1f", 3) if text else ("", "-1", "", "")
    who = f"{kind} {name} of {what}" if kind else "nothing that is known"
    log(config, f"the event loop is blocked for {bound:g} s by {who}, at {where}: this worker is killed")
    if int(partition) >= 0 and config["kafka"]:
        record(config, int(partition), f"{kind}/{name}", {"what": what, "where": where, "seconds": bound})


def read_threads(memory: mmap.mmap) -> list[tuple[int, int, str]]:
    """Return native id, ident and label of each thread on the board."""
    found = []
    for place in range(PLACES):
        at = HEAD.size + place * PLACE_BYTES
        native, ident, length = THREAD.unpack_from(memory, at)
        at += THREAD.size
        found.append((native, ident, memory[at : at + length].decode("utf-8", "replace")))
    return found


def blocker(threads: list[tuple[int, int, str]], pid: int) -> int:
    """Return the place of the thread that holds the loop up: its own, or one that never gives the lock back.

    The loop's thread waits for the lock if it tries for it all the time and does not work; then it is the thread that
    works.
    """
    before = {place: used(pid, native) for place, (native, _, _) in enumerate(threads) if native}
    select.select([sys.stdin], [], [], SAMPLE_S)  # until the worker ends, at most
    spent = {}
    for place, first in before.items():
        now = used(pid, threads[place][0])
        if first is not None and now is not None:
            spent[place] = (now[0] - first[0], now[1] - first[1])
    own = spent.pop(0, (SAMPLE_S, 0))
    busy = max(spent, key=lambda place: spent[place][0], default=0)
    waits = own[1] > SWITCHES or not threads[0][2]
    return busy if waits and busy and threads[busy][2] and spent[busy][0] > own[0] else 0


def used(pid: int, native: int) -> tuple[float, int] | None:
    """Return the processor time of a thread in seconds and how often it waited; None where nothing is known."""
    try:
        with open(f"/proc/{pid}/task/{native}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/task/{native}/status", "rb") as status:
            waits = next(int(line.split()[1]) for line in status if line.startswith(b"voluntary_ctxt_switches"))
    except (OSError, StopIteration):
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), waits


def dumped(stacks: int, pid: int, number: int) -> str:
    """Have the worker's C handler write the stacks of all threads, and return them."""
    os.ftruncate(stacks, 0)
    os.lseek(stacks, 0, os.SEEK_SET)
    send(pid, number)
    text, until = "", time.monotonic() + DUMP_S
    while time.monotonic() < until:
        select.select([sys.stdin], [], [], 0.1)  # until the worker ends, at most
        now = os.pread(stacks, 1 << 20, 0).decode("utf-8", "replace")
        if now and now == text:
            break
        text = now
    return text


def stack_of(text: str, ident: int) -> list[str]:
    """Return the frames of a thread, the innermost first, as `faulthandler` writes them."""
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        if lines and f"{ident:016x}" in lines[0]:
            return [line.strip() for line in lines[1:] if line.strip().startswith("File ")]
    return []


def place_of(frames: list[str], not_users: list[str]) -> str:
    """Return the innermost frame of the user's code as `file:line in function`, else the innermost of all."""
    places = []
    for frame in frames:  # File "/app/agents.py", line 7 in work
        file, _, rest = frame.removeprefix('File "').partition('", line ')
        number, _, function = rest.partition(" in ")
        places.append((file, f"{file}:{number} in {function}"))
    users = [shown for file, shown in places if not file.startswith((*not_users, "<"))]
    return next(iter(users), places[0][1] if places else "an unknown line")


def record(config: dict[str, Any], partition: int, name: str, what: dict[str, Any]) -> None:
    """Write the row of the journal's changelog and wait until it is acknowledged; raises what prevents that."""
    sys.path[:0] = config["path"]
    from confluent_kafka import KafkaException, Producer  # noqa: PLC0415 - only when there is something to record

    producer = Producer({**config["kafka"], "acks": "all", "enable.idempotence": True, "log_level": 2}, logger=None)
    failed: list[Any] = []
    key = f"{config['prefix']}{name}/{uuid.uuid4().hex}".encode()
    producer.produce(
        config["topic"], json.dumps(what).encode(), key, partition, on_delivery=lambda error, _: failed.append(error)
    )
    if producer.flush(ACKNOWLEDGED_S) or not failed:
        message = f"the broker did not acknowledge it within {ACKNOWLEDGED_S:g} s"
        raise TimeoutError(message)
    if failed[0] is not None:
        raise KafkaException(failed[0])


def log(config: dict[str, Any], text: str) -> None:
    """Write a line to the log as the worker does."""
    moment = time.time()
    if config["log_format"] == "json":
        at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(moment))
        line = json.dumps({"time": at, "level": "error", "logger": "streams.runtime.loop", "message": text})
    else:
        line = f"{time.strftime('%H:%M:%S', time.gmtime(moment))} error {text}"
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
