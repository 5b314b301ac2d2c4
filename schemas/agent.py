"""Orders to an agent's queue."""

from schemas.event import Event


class AgentCommanded(Event, type="agent.commanded", key="agent"):
    """Somebody wants a queue paused or resumed (``command``); the same ``request_id`` again does nothing."""

    agent: str
    command: str
    request_id: str


class AgentSwitched(Event, type="agent.switched"):
    """The queue of ``agent`` is paused, or not any more, for the partition that this record is in."""

    agent: str
    paused: bool
