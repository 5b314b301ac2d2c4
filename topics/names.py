"""The names of all topics, in one place, under an optional prefix that keeps pipelines on one cluster apart."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """Topic names under a prefix; empty means none."""

    prefix: str = ""

    def topic(self, name: str) -> str:
        """Return any topic's name under the prefix."""
        return f"{self.prefix}.{name}" if self.prefix else name

    def bare(self, name: str) -> str:
        """Return a topic's name without the prefix."""
        return name.removeprefix(f"{self.prefix}.") if self.prefix else name

    @property
    def events(self) -> str:
        """The bus."""
        return self.topic("events")

    @property
    def signals(self) -> str:
        """Commands to runs that exist."""
        return self.topic("signals")

    @property
    def runs(self) -> str:
        """The life of every run."""
        return self.topic("runs")

    @property
    def calls(self) -> str:
        """Every model and tool call with its answer."""
        return self.topic("calls")

    @property
    def ticks(self) -> str:
        """One record for each slot of a schedule."""
        return self.topic("ticks")

    @property
    def dead_letters(self) -> str:
        """What was given up."""
        return self.topic("dead-letters")

    @property
    def workers(self) -> str:
        """The workers' heartbeats."""
        return self.topic("workers")

    def agents(self, name: str) -> str:
        """Return the queue of an agent."""
        return self.topic(f"agents.{name}")

    def webhooks(self, source: str) -> str:
        """Return the topic of a source's raw deliveries."""
        return self.topic(f"webhooks.{source}")

    def journal(self, pool: str) -> str:
        """Return the changelog of a pool's runs."""
        return self.topic(f"journal.{pool}")

    def table(self, name: str, version: int, pool: str) -> str:
        """Return the changelog of a table in the version of its fold."""
        return self.topic(f"table.{name}.v{version}.{pool}")
