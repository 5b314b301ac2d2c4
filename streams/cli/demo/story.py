"""The demo from beginning to end: each act does something real, and says what was seen of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from schemas.errors import SchemaError
from streams.cli.demo.crash import crash_and_resume
from streams.cli.demo.crew import crew
from streams.cli.demo.ending import rows_and_timeline, stage_again
from streams.cli.demo.opening import deliver, follow_to_the_slow_page
from streams.cli.demo.report import DemoReport
from streams.cli.demo.scene import WORKERS, scene
from streams.cli.demo.tick_and_replay import replay, tick
from streams.errors import StreamsError
from streams.local.merged_log import MergedLog
from streams.private_folder import private_folder
from topics.errors import TopicError

if TYPE_CHECKING:
    from pathlib import Path

    from streams.settings import Settings

LAST_LINES = 25
"""Lines of the processes' log that are shown when the demo fails."""


async def play(settings: Settings) -> int:
    """Play the demo on a pipeline with `settings`; return 0 if all was seen, else 1, after a line with what failed."""
    report = DemoReport()
    await asyncio.to_thread(private_folder, settings.state_dir)
    path = settings.state_dir / "demo.log"
    with path.open("w", encoding="utf-8") as file:
        try:
            await _acts(settings, MergedLog(file), report)
        except (StreamsError, SchemaError, TopicError) as error:
            file.flush()
            _explain(report, error, path)
            return 1
    report.step("Done")
    report.seen(f"everything above was seen on a real Kafka with real processes, in {report.seconds:.0f} s")
    return 0


async def _acts(settings: Settings, log: MergedLog, report: DemoReport) -> None:
    report.step(f"Start Kafka, a model, {WORKERS} workers and a gateway")
    async with scene(settings, log) as stage:
        kafka = stage.running.settings.kafka_bootstrap_servers
        report.seen(f"ready in {stage.running.seconds:.1f} s: gateway {stage.running.url}, Kafka {kafka}")
        run = await deliver(stage, report)
        before = await follow_to_the_slow_page(stage, report, run)
        await crash_and_resume(stage, report, run, before)
        await rows_and_timeline(stage, report, run)
        await replay(stage, report, run)
        await stage_again(stage, report, run)
        await tick(stage, report)
        await crew(stage, report)


def _explain(report: DemoReport, error: Exception, path: Path) -> None:
    report.fail(str(error))
    lines = path.read_text("utf-8", "replace").splitlines()
    if lines:
        report.note("the last lines of the processes:")
        for line in lines[-LAST_LINES:]:
            report.note(line)
