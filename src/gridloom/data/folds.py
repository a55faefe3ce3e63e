"""The fold of an event: a published hash of its id, the same in Python and C++ and on every machine.

All arithmetic is on unsigned 64-bit integers modulo 2**64. With the three words of an event id (for most analyses run,
luminosity block, event):

    mix(x):  x ^= x >> 30;  x *= 0xbf58476d1ce4e5b9;  x ^= x >> 27;  x *= 0x94d049bb133111eb;  x ^= x >> 31
    h = 0;   for each word:  h = mix((h ^ word) + 0x9e3779b97f4a7c15)
    fold = h mod k

`mix` is the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014;
constants by Stafford), a bijection: events that differ only in the event number never collide. An id of fewer than
three words is filled with zeros at the end. The id `entry` is (hash of the file's UUID, 0, entry number), where the
hash is the first eight bytes, big-endian, of the SHA-256 of the UUID in lower case with hyphens.

The hash must never change: scores of old trainings would be given by models that trained on the events.
`fold_vectors.json` holds test vectors, `fold.hpp` the same function in C++.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint64]

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def hash_of(ids: Ids) -> NDArray[np.uint64]:
    """The 64-bit hash of event ids of shape (N, 3)."""
    words = np.asarray(ids, dtype=np.uint64)
    state = np.zeros(len(words), dtype=np.uint64)
    for column in range(3):
        state = _mix((state ^ words[:, column]) + _INCREMENT)
    return state


def fold_of(ids: Ids, k: int) -> NDArray[np.int16]:
    """The fold, 0 to k - 1, of event ids of shape (N, 3)."""
    return (hash_of(ids) % np.uint64(k)).astype(np.int16)


def uuid_word(uuid: str) -> int:
    """The first word of the ids of a file whose events are identified by entry number."""
    return int.from_bytes(hashlib.sha256(uuid.lower().encode()).digest()[:8], "big")
