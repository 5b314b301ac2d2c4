"""Schedules and the commands to them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streams.contract.model import ContractModel


class ScheduleInfo(ContractModel):
    """A schedule as the code declares it, with its state; the state is null while no worker answers."""

    name: str
    doc: str
    cron: str | None
    every_s: float | None
    tz: str
    overlap: str
    catch_up_s: float
    jitter_s: float
    start: str | None
    end: str | None
    next_slot: str | None
    last_slot: str | None
    paused: bool | None
    fired: int | None
    failed: int | None
    missed: int | None
    skipped: int | None
    waiting: int | None = Field(description="slots that wait for the run of an earlier one")
    running: list[str] | None = Field(description="the runs of earlier slots that have not ended")
    backfills: int | None = Field(description="backfills under way")


class ScheduleList(ContractModel):
    """All schedules."""

    schedules: list[ScheduleInfo]


class ScheduleCommandAccepted(ContractModel):
    """A command to a schedule that is on the log."""

    schedule: str
    id: str
    accepted: Literal["pause", "resume", "trigger", "backfill"]
    slots: int = Field(0, description="of a backfill: how many slots it covers")


class BackfillPlan(ContractModel):
    """What a backfill would cover."""

    schedule: str
    slots: int
