"""Which partition a key belongs to: murmur2 as Kafka's Java client computes it, so that every client agrees."""

from functools import lru_cache

_M = 0x5BD1E995
_SEED = 0x9747B28C
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def murmur2(key: bytes) -> int:
    """Return the key's hash, made positive by clearing its highest bit (org.apache.kafka.common.utils.Utils)."""
    length = len(key)
    whole = length & ~3
    h = _SEED ^ length
    for at in range(0, whole, 4):
        k = (int.from_bytes(key[at : at + 4], "little") * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if whole != length:
        h = ((h ^ int.from_bytes(key[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return (h ^ (h >> 15)) & _POSITIVE


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many; the recent ones are remembered."""
    return murmur2(key) % partitions
