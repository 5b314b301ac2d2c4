"""What can go wrong in the runtime, split by who can do something about it."""

from streams.errors import StreamsError


class WorkerError(StreamsError):
    """Base class of the errors of a worker and its runtime."""


class RecordTooLargeError(WorkerError):
    """Raised at the place that sends or stores a record the topic would refuse."""


class UnitTooLargeError(WorkerError):
    """Raised when records that must become true together exceed one transaction's share."""


class OverlayConflictError(WorkerError):
    """Raised when two open batches write one key: the second would overtake the first in the changelog."""


class DeadAssignmentError(WorkerError):
    """Raised in work that outlived its assignment; nothing of it may reach the log."""


class MemberRefusedError(WorkerError):
    """Raised by a commit that the group coordinator refused: member or epoch is no longer current."""


class MemberUnknownError(MemberRefusedError):
    """Raised by a commit when the group coordinator does not know the member at all: it was removed from the group."""


class MembershipLostError(WorkerError):
    """Raised when the group does without this worker and its client library does not join again: the process ends."""


class ClientLostError(WorkerError):
    """Raised when a Kafka client has lost the cluster for good, while a new client reaches it."""


class TransactionAbortedError(WorkerError):
    """Raised by a commit that was aborted for a reason that does not name its culprit; the units can be sent again."""


class TransactionStuckError(WorkerError):
    """Raised when a lone unit's transaction is aborted again and again, and for no record of it."""


class RecordRefusedError(WorkerError):
    """Raised by a commit that the broker refused for one of its records."""


class OutcomeUnknownError(WorkerError):
    """Raised when a transaction's outcome cannot be learned; the process must end and read the log again."""


class StoreError(WorkerError):
    """Raised when a partition's store cannot be read or written: no record's fault, and nobody can work without it."""


class StoreDamagedError(StoreError):
    """Raised by a partition store that cannot read what it holds; the next start removes it and reads the changelog."""


class ClusterUnfitError(WorkerError):
    """Raised at start when the cluster lacks what exactly-once ownership needs."""


class RestoreError(WorkerError):
    """Raised when a partition's state cannot be restored from its changelog."""


class QueuesUnreadError(WorkerError):
    """Raised when the queues of a partition cannot be read to their ends in time: whether an id is there is unknown."""
