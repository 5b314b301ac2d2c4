"""What runs and the homes of their concurrency keys say to each other; on `signals`."""

from schemas.event import Event


class KeyWanted(Event, type="key.wanted", key="lock"):
    """A run is due and wants ``lock``, which one run (with its descendants) holds at a time.

    ``root`` is the run at the top of its family. The lowest ``rank`` (milliseconds) is first. ``ending`` is how often
    the run has ended so far: 0 before it starts, more for a resume.
    """

    lock: str
    run_id: str
    root: str
    rank: int
    ending: int = 0


class KeyGranted(Event, type="key.granted", key="run_id"):
    """A run holds ``lock`` and may begin, or go on after its ending number ``ending``."""

    run_id: str
    lock: str
    ending: int = 0


class KeyReleased(Event, type="key.released", key="lock"):
    """A run has ended for the ``ending``-th time: what it wanted or held before that is over."""

    lock: str
    run_id: str
    ending: int
