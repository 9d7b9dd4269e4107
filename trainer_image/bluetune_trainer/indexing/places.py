"""Which part of an index an item belongs to: by its id alone, so that every pod and every later index agrees."""

import hashlib

BUCKETS = 64
"""Parts of a shard that are held in memory one at a time; each is a file that is open, two of them at most."""
_SPACE = 64
"""Bits of an item's place."""


def place_of(item_id: str) -> int:
    """Where an item lies among 2⁶⁴ places, evenly spread."""
    return int.from_bytes(hashlib.sha256(item_id.encode(errors="surrogatepass")).digest()[:8])


def shard_of(place: int, shards: int) -> int:
    """The shard that a place belongs to: shards are ranges of places."""
    return (place * shards) >> _SPACE


def bucket_of(place: int, shards: int) -> int:
    """The bucket within its shard."""
    return ((place * shards * BUCKETS) >> _SPACE) % BUCKETS


def overlap(shard: int, shards: int, other: int, others: int) -> bool:
    """Whether a shard of one division has places in common with one of another division."""
    return shard * others < (other + 1) * shards and other * shards < (shard + 1) * others
