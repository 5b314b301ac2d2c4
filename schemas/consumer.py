"""What workers say to each other about tables and reactions of the bus."""

from schemas.event import Event


class ConsumersDeclared(Event, type="consumers.declared"):
    """These tables and reactions are new in a worker's code; on `signals`, one record in each partition.

    An owner whose code lacks them writes down that they begin at the partition's offset, so that a later owner which
    has them reads what came since then.
    """

    consumers: list[str]
