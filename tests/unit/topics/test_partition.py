"""murmur2: equal to the Java client's, whose own test vectors these are (UtilsTest.testMurmur2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.partition import murmur2, partition_of

JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA)
def test_the_hash_is_that_of_the_java_client_made_positive(key: bytes) -> None:
    assert murmur2(key) == JAVA[key] & 0x7FFFFFFF


@given(st.binary(max_size=40), st.integers(1, 64))
def test_every_key_has_one_partition_in_range(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == partition_of(key, partitions)
    assert 0 <= partition_of(key, partitions) < partitions
