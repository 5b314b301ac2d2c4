"""What can go wrong between us and the broker; each class says who raises it."""


class TopicError(Exception):
    """Base of every error of this package; raised itself for an ill-formed topic or a request the broker refused."""


class NotAcknowledged(TopicError):
    """Raised by the producer for a record that the broker did not acknowledge in time; it may still be on the log."""


class UnknownTopicError(TopicError):
    """Raised by the producer for a record of a topic that the cluster does not have; `topic` is its name."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist; run: streams topics apply")
        self.topic = topic


class EventTooLargeError(TopicError):
    """Raised by the producer for a record over the size that its topic takes; repeating it cannot help."""


class PlanRefusedError(TopicError):
    """Raised by apply for a plan with changes that would lose records or scatter keys."""


class BrokerUnavailableError(TopicError):
    """Raised by admin and reader when no broker answers in time."""


class ReadCancelledError(TopicError):
    """Raised by a read that nobody waits for any more."""
