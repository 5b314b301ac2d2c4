"""No two kinds of rows of the journal store can be mistaken for each other."""

from __future__ import annotations

import pytest

from streams.journal import store_keys

pytestmark = pytest.mark.unit


def test_no_prefix_begins_another() -> None:
    pairs = [(one, other) for one in store_keys.PREFIXES for other in store_keys.PREFIXES if one is not other]
    assert [(one, other) for one, other in pairs if other.startswith(one)] == []


def test_every_prefix_of_the_module_is_registered() -> None:
    names = {name for name in vars(store_keys) if name.isupper() and isinstance(getattr(store_keys, name), bytes)}
    assert {getattr(store_keys, name) for name in names} == set(store_keys.PREFIXES)
