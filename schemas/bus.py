"""The general events of the bus: news from outside and news from agents."""

from schemas.event import Event
from schemas.values import Json


class NewDataArrived(Event, type="new_data_arrived", key="source"):
    """A source has something new; ``reference`` says where it is if it is not in ``data``."""

    source: str
    reference: str | None = None
    data: Json = None


class EnvironmentChanged(Event, type="environment_changed", key="subject"):
    """Something around the agents is different now, such as a setting, a limit or a deployed version."""

    subject: str
    before: Json = None
    after: Json = None


class UserUpdated(Event, type="user_updated", key="user_id"):
    """A user's data changed; ``changes`` maps names of what changed to new values."""

    user_id: str
    changes: Json = None


class DataProcessed(Event, type="data_processed", key="source"):
    """An agent has worked through something; ``run_id`` is the run that did."""

    source: str
    run_id: str | None = None
    summary: str = ""
    data: Json = None


class AgentAdapted(Event, type="agent_adapted", key="agent"):
    """An agent has changed what it does, such as its prompt or plan."""

    agent: str
    run_id: str | None = None
    change: str = ""
    data: Json = None


class HealthCheckCompleted(Event, type="health_check_completed", key="subject"):
    """A check of something was made, with its outcome."""

    subject: str
    healthy: bool
    detail: str = ""
    data: Json = None
