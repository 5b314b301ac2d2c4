"""The sample application runs only when nothing else is named, or when it is named itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.app import EXAMPLES, Catalog, discover, names
from streams.errors import DiscoveryError
from streams.local.declare import wanted
from streams.settings import Settings

SHOP = """
from streams import Run, agent

@agent
async def order(number: int, run: Run) -> int:
    return number
"""

CLASHES = """
from pydantic import BaseModel

from schemas import Event
from streams import Run, StartRun, agent, hmac_sha256, minutes, on, schedule, source, table, tool

class Arrived(Event, type="new_data_arrived", key="shop"):
    shop: str

class Row(BaseModel):
    shop: str

@agent
async def triage(task: Arrived, run: Run) -> str:
    return task.shop

@tool
def scrape_url(page: str) -> str:
    return page

@on(Arrived)
async def data_arrived(event: Arrived) -> StartRun:
    return StartRun(triage, event)

@schedule(every=minutes(5))
def health_check() -> None: ...

@source(verify=hmac_sha256("x-signature"))
def github(delivery) -> None: ...

@table(of=[Arrived], row=Row)
def tickets(row: Row | None, event: Arrived) -> Row:
    return Row(shop=event.shop)

@table(of=[Arrived], row=Row)
def usage(row: Row | None, event: Arrived) -> Row:
    return Row(shop=event.shop)
"""


def test_a_start_without_apps_runs_the_sample_as_a_whole() -> None:
    sample = discover()
    assert names(sample) == names(discover([EXAMPLES]))
    assert {"research", "triage"} <= set(sample.agents)
    assert {"health_check", "cleanup_old_events", "monitor_data_sources"} == set(sample.schedules)


def test_with_apps_only_what_they_name_runs(package: Callable[..., None]) -> None:
    package("shop", orders=SHOP)
    catalog = discover(["shop"])
    assert set(catalog.agents) == {"order"}
    assert set(catalog.schedules) == set()
    assert set(catalog.reactions) == {"tell_alert"}, "what posts alerts to the sinks that are set"
    assert set(catalog.tables) == {"runs", "agent_stats", "usage", "alerts"}, "what the product knows of itself"
    assert set(catalog.sources) == {"custom", "github", "slack", "standard"}
    topics = {topic.name for topic in wanted(Settings(), catalog)}
    assert "agents.order" in topics
    assert not {"agents.triage", "table.tickets.v1.default"} & topics


def test_the_sample_runs_beside_a_package_when_it_is_named(package: Callable[..., None]) -> None:
    package("shop", orders=SHOP)
    catalog = discover(["shop", EXAMPLES])
    assert {"order", "research"} <= set(catalog.agents)
    assert set(discover(["shop", "streams.schedules.health"]).schedules) == {"health_check"}


def test_built_in_events_and_tools_stay_importable(package: Callable[..., None]) -> None:
    text = "from schemas.bus import NewDataArrived\nfrom streams.tools import scrape_url\n" + SHOP.replace(
        "@agent", "@agent(tools=[scrape_url])"
    )
    package("shop", orders=text)
    catalog = discover(["shop"])
    assert "new_data_arrived" in catalog.events
    assert catalog.agents["order"].tools == (catalog.tools["scrape_url"],)


@pytest.mark.parametrize("apps", [["clashing"], ["clashing", EXAMPLES], [EXAMPLES, "clashing"]])
def test_a_users_definition_of_the_same_name_wins(package: Callable[..., None], apps: list[str]) -> None:
    package("clashing", things=CLASHES)
    catalog = discover(apps)
    found = [
        catalog.agents["triage"].fn,
        catalog.tools["scrape_url"].fn,
        catalog.reactions["data_arrived"].fn,
        catalog.schedules["health_check"].fn,
        catalog.sources["github"].fn,
        catalog.tables["tickets"].fn,
        catalog.tables["usage"].fn,
        catalog.events["new_data_arrived"],
    ]
    assert {value.__module__ for value in found} == {"clashing.things"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('class Begun(Event, type="run.started", key="run_id"):\n    run_id: str\n', "run.started"),
        ("@table(of=[Event], row=Event)\ndef runs(row, event): ...\n".replace("of=[Event]", "of=[Arrived]"), "runs"),
    ],
)
def test_a_name_that_the_product_needs_is_refused(package: Callable[..., None], text: str, name: str) -> None:
    head = "from schemas import Event\nfrom schemas.bus import NewDataArrived as Arrived\nfrom streams import table\n"
    package("rude", things=head + text)
    with pytest.raises(DiscoveryError, match=rf"rude\.things .*{name}"):
        discover(["rude"])


def test_what_is_built_in_starts_no_run_by_itself() -> None:
    """A run needs an agent and what starts it: without the sample there is neither."""
    built_in = discover(["schemas"])
    assert (built_in.agents, built_in.schedules) == ({}, {})
    assert isinstance(built_in, Catalog)


def test_every_tool_that_ships_is_imported_from_one_place() -> None:
    import streams.tools

    assert {name: getattr(streams.tools, name) for name in streams.tools.__all__} == discover(["schemas"]).tools
