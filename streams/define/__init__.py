"""What decorators make: plain values that discovery collects and the machinery reads."""

from streams.define.agents import PRIORITIES, Agent, Bound, Priority, agent
from streams.define.canvas import Batch, Chain, Chord, Group, batch, chain, chord, group
from streams.define.durations import days, hours, minutes, seconds
from streams.define.limits import Rate
from streams.define.policies import Breaker, Reject, Retry, RetryPolicy, SoftTimeout
from streams.define.reactions import Reaction, on
from streams.define.schedules import Overlap, Schedule, schedule
from streams.define.sources import Delivery, SourceDef, source
from streams.define.starts import StartRun
from streams.define.tables import TableDef, table
from streams.define.tools import Tool, tool
from streams.define.verifiers import HmacSha256, StandardWebhooks, Verifier, hmac_sha256, standard_webhooks

Call = Bound

__all__ = [
    # values
    "PRIORITIES",
    "Agent",
    "Batch",
    "Bound",
    "Breaker",
    "Call",
    "Chain",
    "Chord",
    "Delivery",
    "Group",
    "HmacSha256",
    "Overlap",
    "Priority",
    "Rate",
    "Reaction",
    # words to raise
    "Reject",
    "Retry",
    "RetryPolicy",
    "Schedule",
    "SoftTimeout",
    "SourceDef",
    "StandardWebhooks",
    "StartRun",
    "TableDef",
    "Tool",
    "Verifier",
    # words to write
    "agent",
    "batch",
    "chain",
    "chord",
    "days",
    "group",
    "hmac_sha256",
    "hours",
    "minutes",
    "on",
    "schedule",
    "seconds",
    "source",
    "standard_webhooks",
    "table",
    "tool",
]
