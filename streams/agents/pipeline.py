"""Agents that work together over topics: a plan, then research and reading in parallel, then a review."""

from __future__ import annotations

from pydantic import BaseModel

from streams import Run, agent, hours, minutes
from streams.agents.planner import Goal, Plan, planner
from streams.agents.research import Report, research
from streams.agents.reviewer import Draft, Review, reviewer
from streams.agents.scraper import PagesRead, PagesWanted, scraper


class ReviewedReport(BaseModel):
    """The report with the plan it followed, the pages it had and the review it got."""

    plan: Plan
    report: Report
    pages: PagesRead
    review: Review


@agent(concurrency=20, deadline=hours(2))
async def pipeline(goal: Goal, run: Run) -> ReviewedReport:
    """Plan, research and read in parallel, then have the draft reviewed."""
    async with run.stage("PLAN", timeout=minutes(20)):
        plan = await run.call(planner, goal)
        await run.progress("planned", 20)
    async with run.stage("RESEARCH", timeout=hours(1)):
        report, pages = await _gathered(goal, run)
        await run.progress("researched", 70)
    async with run.stage("REVIEW", timeout=minutes(20)):
        sources = [*(source.text for source in report.sources), *(page.text for page in pages.pages)]
        review = await run.call(reviewer, Draft(text=report.answer, sources=sources[:20]))
        await run.progress("reviewed", 95)
    return ReviewedReport(plan=plan, report=report, pages=pages, review=review)


async def _gathered(goal: Goal, run: Run) -> tuple[Report, PagesRead]:
    """Research and read at once; without pages there is nothing to read."""
    if not goal.urls:
        return await run.call(research, goal), PagesRead(pages=[], errors={})
    report, pages = await run.gather_all([run.call(research, goal), run.call(scraper, PagesWanted(urls=goal.urls))])
    return report, pages
