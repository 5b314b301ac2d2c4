"""The journal of an assignment: entries of runs as rows of the ledger store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from schemas.journal import JournalEntry
from streams.engine.entry import END, EXPIRED, RESUME, SUBMITTED, Entry, journal_key, run_prefix
from streams.engine.view import EFFECTS
from streams.journal import store_keys
from streams.runtime.commit_unit import MAX_RECORD_BYTES
from streams.runtime.errors import RecordTooLargeError
from streams.telemetry import redact_json

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit
    from streams.runtime.partition_store import PartitionStore

LEDGER: Final = "journal"  # the store's name
_FIELDS: Final = tuple(JournalEntry.model_fields)
_INPUT: Final = _FIELDS.index("input")
_values_of: Final = attrgetter(*_FIELDS)


class JournalStore:
    """Reads and writes entries; it does not interpret them."""

    def __init__(self, codec: Codec) -> None:
        """Encode by `codec`."""
        self._codec = codec

    def write(self, unit: CommitUnit, entry: Entry) -> None:
        """Add an entry to `unit`."""
        unit.put(unit.assignment.stores[LEDGER], *self.encode(entry))

    def encode(self, entry: Entry) -> tuple[bytes, bytes]:
        """Return an entry as key and row; raises SchemaError, RecordTooLargeError."""
        values = _values_of(entry)
        if entry.kind in EFFECTS and entry.input is not None:
            shown = list(values)
            shown[_INPUT] = redact_json(entry.input)  # it is for people to read; the digest stays that of the whole
            row = self._codec.encode_values(JournalEntry, shown)
        else:
            row = self._codec.encode_values(JournalEntry, values)
        if len(row) > MAX_RECORD_BYTES:
            raise RecordTooLargeError(
                f"what {entry.kind} {entry.name or entry.path} gave has {len(row)} bytes; an entry holds "
                f"{MAX_RECORD_BYTES}: store it elsewhere and return a reference"
            )
        return entry.key(), row

    def decode(self, row: bytes) -> Entry:
        """Return the entry that a row holds; raises SchemaError."""
        return Entry.from_dict(self._codec.decode_dict(row))

    def known(self, owned: PartitionAssignment, run_id: str) -> Entry | None:
        """Return the submission (or the marker of an expired run) if the run is known, read through the overlay."""
        store = owned.stores[LEDGER]
        row = store.get(journal_key(run_id, SUBMITTED, 0)) or store.get(journal_key(run_id, EXPIRED, 0))
        return None if row is None else self.decode(row)

    def is_expired(self, owned: PartitionAssignment, run_id: str) -> bool:
        """Return whether the run ended so long ago that only the marker of its id is left."""
        return owned.stores[LEDGER].get(journal_key(run_id, EXPIRED, 0)) is not None

    def entries(self, owned: PartitionAssignment, run_id: str) -> list[Entry]:
        """Return a run's entries in log order, with what is uncommitted: what its machine has appended itself."""
        return self._sorted(owned.stores[LEDGER].scan(run_prefix(run_id)))

    def committed(self, owned: PartitionAssignment, run_id: str) -> list[Entry]:
        """Return a run's committed entries in log order: what a query may return."""
        return self._sorted(self.rows(owned, run_id))

    def rows(self, owned: PartitionAssignment, run_id: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and rows of a run's committed entries, in the order of their paths."""
        return owned.stores[LEDGER].scan_committed(run_prefix(run_id))

    def ends(self, owned: PartitionAssignment, run_id: str) -> list[Entry]:
        """Return a run's committed ends, of which a resumed run may have several."""
        prefix = run_prefix(run_id) + END.encode()
        return [self.decode(row) for _, row in owned.stores[LEDGER].scan_committed(prefix)]

    def runs(self, store: PartitionStore, start: bytes | None = None) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
        """Yield each run's id with its paths and raw rows, as committed, from key `start` on."""
        current = ""
        rows: list[tuple[str, bytes]] = []
        for key, value in store.scan_committed(store_keys.RUN, start):
            run_id, _, path = key[len(store_keys.RUN) :].decode().partition("/")
            if run_id != current:
                if rows:
                    yield current, rows
                current, rows = run_id, []
            rows.append((path, value))
        if rows:
            yield current, rows

    def _sorted(self, rows: Iterator[tuple[bytes, bytes]]) -> list[Entry]:
        return sorted((self.decode(row) for _, row in rows), key=lambda entry: entry.seq)


def recorded_ms_of(row: bytes) -> int:
    """Return when the entry in a row was recorded, without decoding the rest: a result may be large.

    It is the last field, after another integer (`tests/unit/worker/test_ledger_sweep.py` sees to that). Avro writes
    integers as zigzag varints: seven bits a byte, the lowest first, all bytes but the last with the high bit.
    """
    value, at = row[-1], len(row) - 2
    while row[at] & 0x80:
        value = value << 7 | row[at] & 0x7F
        at -= 1
    return value >> 1


def over(paths: Iterable[str]) -> bool:
    """Return whether a run has ended as often as it was begun, seen by its keys alone.

    A failed run that resumes itself has a timer on its end: who waits for timers has to look into that row, too.
    """
    ends = resumes = 0
    for path in paths:
        if path.startswith(END) or path == EXPIRED:
            ends += 1
        elif path.startswith(RESUME):
            resumes += 1
    return ends > resumes
