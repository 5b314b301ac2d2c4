"""Which records from outside were handled, by what CloudEvents makes unique: source and id together.

Two kinds of rows of a partition's ledger, each with a time in milliseconds since the epoch, so that a sweep forgets
them alike:

- ``d/<topic>/<id>``: some source has sent this id. The version that did not look at sources wrote nothing else, with
  the bare number: such a row counts for all sources until it is swept. A number that begins with 0 belongs to the
  gateway, whose ids are unique among themselves; one with a plus sign belongs to the other source whose row says so.
- ``d//<topic>/<length of the source>/<source>/<id>``: this source has sent it; a number that begins with 0 is of the
  source that came first. No topic is empty, so that no row of the first kind begins like this.

An earlier version that reads these rows after a roll-back finds every id that it would know.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from streams.journal import store_keys
from streams.journal.store_keys import LEDGER

if TYPE_CHECKING:
    from schemas.attributes import Attributes
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.commit_unit import CommitUnit

_OURS: Final = "/streams/"
_GATEWAY: Final = ("/gateway", "/webhooks/")
_FIRST: Final = b"0"
_OTHER: Final = b"+"


def seen_key(topic: str, event_id: str) -> bytes:
    """Return the key under which it is remembered that some source has sent an id."""
    return store_keys.OUTSIDE_ID + f"{topic}/{event_id}".encode()


def _key_of_source(topic: str, source: str, event_id: str) -> bytes:
    if source.startswith(_OURS):
        source = _OURS  # a repair gives a record the id of the one that it replaces, whatever its own name
    return store_keys.OUTSIDE_ID + f"/{topic}/{len(source)}/{source}/{event_id}".encode()


def remember(unit: CommitUnit, topic: str, of: Attributes, at_ms: int) -> bool:
    """Remember a record from outside as of a time; True if it is known already."""
    store, time = unit.assignment.stores[LEDGER], b"%d" % at_ms
    key, of_source = seen_key(topic, of.id), _key_of_source(topic, of.source, of.id)
    some = store.get(key)
    gateway = of.source.startswith(_GATEWAY)
    if some is not None and not some.startswith((_FIRST, _OTHER)):
        return True
    if (gateway and some is not None and some.startswith(_FIRST)) or store.get(of_source) is not None:
        return True
    if some is None:
        unit.put(store, key, (_FIRST if gateway else _OTHER) + time)
    if not gateway or some is not None:
        unit.put(store, of_source, time if some is not None else _FIRST + time)
    return False


def identity(topic: str, of: Attributes) -> bytes:
    """Return what makes a record from outside the same again: topic, source and id."""
    return _key_of_source(topic, of.source, of.id)


def remembered_at(owned: PartitionAssignment, topic: str, of: Attributes) -> int | None:
    """Return the time (milliseconds since the epoch) of the record that came first under this source and id.

    None when no such record is remembered.
    """
    store = owned.stores[LEDGER]
    some = store.get(seen_key(topic, of.id))
    if some is None:
        return None
    if not some.startswith((_FIRST, _OTHER)) or (of.source.startswith(_GATEWAY) and some.startswith(_FIRST)):
        return int(some)
    own = store.get(identity(topic, of))
    return None if own is None else int(own)


def cause_of(owned: PartitionAssignment, topic: str, of: Attributes) -> str:
    """Return the id from which those of its outputs are derived: its own, unless another source has sent that first.

    Two events under one id would else start one run between them.
    """
    store = owned.stores[LEDGER]
    some = store.get(seen_key(topic, of.id))
    if some is None or not some.startswith((_FIRST, _OTHER)):
        return of.id
    if of.source.startswith(_GATEWAY):
        first = some.startswith(_FIRST)
    else:
        first = (store.get(_key_of_source(topic, of.source, of.id)) or b"").startswith(_FIRST)
    return of.id if first else apart(of.id, of.source)


def apart(event_id: str, source: str) -> str:
    """Return an id that no other source's event has."""
    return f"{event_id}@{hashlib.sha256(source.encode()).hexdigest()[:16]}"
