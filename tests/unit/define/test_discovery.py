"""Discovery: user packages are found, and what is wrong with them is said with the module's name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.app import discover
from streams.errors import DiscoveryError

ONE_FILE = """
from schemas import Event
from topics import Topic
from streams import Run, agent, on, schedule, source, StartRun, table, tool, hmac_sha256, minutes

class TicketMade(Event, type="{name}.made", key="ticket"):
    ticket: str

desk = Topic("{name}.desk")

@tool
def look(url: str) -> str:
    return url

@agent(pool="desk", tools=[look])
async def {name}_agent(ticket: TicketMade, run: Run) -> str:
    return ticket.ticket

@on(TicketMade)
async def {name}_reaction(event: TicketMade) -> StartRun:
    return StartRun({name}_agent, event)

@source(verify=hmac_sha256("x-sig"))
def {name}_source(delivery): ...

@schedule(every=minutes(5))
def {name}_schedule(): ...

@table(of=[TicketMade], row=TicketMade)
def {name}_table(row, event):
    return event
"""


def test_everything_in_a_users_package_is_found(package: Callable[..., None]) -> None:
    package("acme", things=ONE_FILE.format(name="acme"), again="from acme.things import *")
    catalog = discover(["acme"])
    assert catalog.agents["acme_agent"].pool == "desk"
    assert "acme_reaction" in catalog.reactions
    assert "acme_source" in catalog.sources
    assert "acme_schedule" in catalog.schedules
    assert "acme_table" in catalog.tables
    assert "look" in catalog.tools
    assert "acme.made" in catalog.events
    assert "acme.desk" in catalog.topics
    assert {"default", "desk"} <= set(catalog.pools())
    assert "run.submitted" in catalog.events, "what ships is there too"


def test_a_module_that_cannot_be_imported_is_named_with_its_error(package: Callable[..., None]) -> None:
    package("broken", wrong="import nothing_of_that_name")
    with pytest.raises(DiscoveryError, match=r"broken\.wrong .*nothing_of_that_name"):
        discover(["broken"])
    with pytest.raises(DiscoveryError, match="nowhere"):
        discover(["nowhere"])


def test_two_agents_of_one_name_are_refused_with_both_modules(package: Callable[..., None]) -> None:
    package("twice", one=ONE_FILE.format(name="same"), two=ONE_FILE.format(name="same"))
    with pytest.raises(DiscoveryError, match=r"twice\.one and in twice\.two"):
        discover(["twice"])


def test_the_place_of_an_error_is_said_where_it_was_written(package: Callable[..., None]) -> None:
    package("wrong", topics="from topics import Topic\n\ndesk = Topic('a b')\n")
    with pytest.raises(DiscoveryError, match=r"TopicError.* at .*wrong/topics\.py:3\)"):
        discover(["wrong"])
    package("misspelt", policy="from streams import RetryPolicy\n\nagain = RetryPolicy(atempts=3)\n")
    with pytest.raises(DiscoveryError, match=r"misspelt/policy\.py:3: .*did you mean 'attempts'"):
        discover(["misspelt"])
