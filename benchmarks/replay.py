"""Runs a thousand recorded runs again from the log alone, and counts who was asked and what came out otherwise.

`uv run python -m benchmarks.replay` starts the embedded Kafka, a model and a web page on loopback, and one worker that
makes runs of five calls whose answers no second call would give. Then all but Kafka ends, and `streams replay` runs
them again (calls recorded) in a network of its own, from which the broker can be reached and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from benchmarks import sealed
from benchmarks.runs import Bench
from benchmarks.stateful_reaction import cluster, stop
from schemas.run import RunSubmitted
from topics.reader import read

AGENT = "five_calls"
CALLS = 5
OUTSIDE = "import socket; socket.create_connection(({host!r}, {port}), 5)"


class Outside:
    """The model and the page: each answer is another one, and each request is counted."""

    def __init__(self) -> None:
        """Count from nothing."""
        self.asked: Counter[str] = Counter()
        self._number = itertools.count()
        self.port = 0

    async def model(self, request: web.Request) -> web.Response:
        """Answer a chat completion."""
        self.asked["model"] += 1
        text = f"word {next(self._number)}"
        if "response_format" in await request.json():
            text = json.dumps({"word": text})
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 100, "completion_tokens": 40}
        return web.json_response({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})

    async def rate(self, _: web.Request) -> web.Response:
        """Answer the tool."""
        self.asked["tool"] += 1
        return web.Response(text=f"rate {next(self._number)}")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.model)
        app.router.add_get("/rate", self.rate)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


async def main() -> None:
    """Record, seal, replay, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    with cluster(options.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        bench = Bench(bootstrap, f"replay{int(time.time())}", folder, "benchmarks.apps.calls")
        try:
            outside = Outside()
            async with outside.open():
                await record(bench, outside, options.runs)
            print(f"{options.runs} runs of {CALLS} calls recorded, {dict(outside.asked)}", flush=True)
            wrong = await replay(bench, outside, options.runs, bootstrap, Path(folder) / "broker")
        finally:
            await bench.close()
    if wrong:
        raise SystemExit("; ".join(wrong))


async def record(bench: Bench, outside: Outside, count: int) -> None:
    """Let a worker make the runs, and end it."""
    bench.environment["STREAMS_LLM_BASE_URL"] = f"http://127.0.0.1:{outside.port}/v1"
    bench.declare()
    bench.worker = bench.start()
    bench.listen()
    rates = f"http://127.0.0.1:{outside.port}/rate"
    runs = {f"run-{number:06d}": {"number": number, "rates": rates} for number in range(count)}
    submitted = [RunSubmitted(run_id=run_id, agent=AGENT, input=given) for run_id, given in runs.items()]
    await asyncio.gather(*(bench.producer.send(bench.names.agents(AGENT), one) for one in submitted))
    await asyncio.to_thread(bench.ended, set(runs))
    await asyncio.to_thread(stop, bench.worker)


async def replay(bench: Bench, outside: Outside, count: int, bootstrap: str, path: Path) -> list[str]:
    """Replay and return what is not as it should be."""
    port = int(bootstrap.rpartition(":")[2])
    inside = [sys.executable, "-m", "streams", "replay", f"agents.{AGENT}", "--into", "again", "-o", "json"]
    asked = outside.asked.copy()
    wrong: list[str] = []
    if sealed.possible():
        async with sealed.relay(path, port):
            await the_seal_counts(bench, outside.port, port, path)
            begun = time.perf_counter()
            done = await run(bench, sealed.command(port, path, inside))
        tries = sealed.tried(done.stderr.decode())
        print(f"in a network with nothing but the broker: {tries}", flush=True)
        wrong += [f"{number} tries {what}" for what, number in tries.items() if number and what != "to the broker"]
    else:
        print("no network of its own is to be had here (unshare --net): only the endpoint's end blocks calls")
        begun = time.perf_counter()
        done = await run(bench, inside)
    took = time.perf_counter() - begun
    if done.returncode:
        return [done.stderr.decode()[-3000:]]
    report = orjson.loads(done.stdout)
    totals = report["totals"]
    print(
        f"{totals['equal']} of {totals['runs']} runs came out equal; {totals['recorded']} answers from the log, "
        f"{totals['made']} made, {outside.asked.total() - asked.total()} at the endpoint"
    )
    print(f"{totals['per_second']:,} runs/s in {report['seconds']:.2f} s; the command {took:.2f} s in all")
    before, after = (outcomes(bench, topic) for topic in (bench.names.runs, bench.names.topic("again.runs")))
    same = sum(after.get(run_id) == outcome for run_id, outcome in before.items())
    print(f"{same} of {len(before)} endings on the shadow's log are those on `runs`")
    wanted = {"runs": count, "equal": count, "recorded": count * CALLS, "made": 0, "missing": 0}
    wrong += [f"{name}: {totals[name]} and not {value}" for name, value in wanted.items() if totals[name] != value]
    return wrong + ([f"{same} endings are the same"] if same != count or len(after) != count else [])


async def the_seal_counts(bench: Bench, gone: int, port: int, path: Path) -> None:
    """Show that the seal sees who calls outside: the endpoint's old port and an address elsewhere."""
    for host, number, name in (("127.0.0.1", gone, "refused on loopback"), ("192.0.2.1", 443, "had no route")):
        code = OUTSIDE.format(host=host, port=number)
        done = await run(bench, sealed.command(port, path, [sys.executable, "-c", code]))
        if done.returncode == 0 or sealed.tried(done.stderr.decode())[name] != 1:
            raise SystemExit(f"the seal lets {host}:{number} pass: {done.stderr.decode()[-500:]}")


async def run(bench: Bench, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the bench's environment."""
    return await asyncio.to_thread(
        subprocess.run, command, env=bench.environment, capture_output=True, check=False, timeout=300
    )


def outcomes(bench: Bench, topic: str) -> dict[bytes | None, Any]:
    """Return how each run ended: the type and the result of its ending."""
    found = {}
    for one in read(bench.settings.kafka(), topic):
        kind = dict(one.headers)["ce_type"]
        if kind != b"run.started":
            found[one.key] = (kind, bench.codec.decode_dict(one.value).get("result"))
    return found


if __name__ == "__main__":
    asyncio.run(main())
