"""Opaque ids that look like Persona's (``ual_2CVZ4HyVg7qaboXz2PUHknAn``), made from a seed.

A record's id can be turned back into the record's number, so a world of a million records needs no table of ids.
"""

import hashlib
import struct
from collections.abc import Mapping
from functools import lru_cache

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_VALUE = {letter: value for value, letter in enumerate(_ALPHABET)}
_LENGTH = 24
_INDEX_BITS = 40
_INDEX_MASK = (1 << _INDEX_BITS) - 1
# 100 bits of hash and 40 of number stay below 58 to the power of 24, and use nearly all of it.
_HASH_MASK = (1 << 100) - 1
_SPREAD = 0x9E3779B97F4A7C15

RECORD_PREFIX = "ual_"


class Identifiers:
    """The ids of one seeded world.

    :param odd: ids of some records by number, in the place of those that the seed makes
    """

    def __init__(self, seed: int, odd: Mapping[int, str] | None = None) -> None:
        self._odd = odd or {}
        self._numbers = {id_: index for index, id_ in self._odd.items()}
        self._key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()
        self.record = lru_cache(maxsize=4096)(self._record)
        """The id of the record made as a number (0 is the first)."""
        self.opaque = lru_cache(maxsize=4096)(self._opaque)
        """The id of an object of a kind, as ``case_…``, by its number."""

    def digest(self, purpose: bytes, number: int, size: int = 32) -> bytes:
        """*size* bytes (at most 64), always the same for this seed, *purpose* (at most 16 bytes) and *number*."""
        return hashlib.blake2b(struct.pack("<q", number), digest_size=size, key=self._key, person=purpose).digest()

    def _opaque(self, prefix: str, number: int) -> str:
        return f"{prefix}_{_spell(int.from_bytes(self.digest(prefix.encode(), number, 17), 'big'))}"

    def _record(self, index: int) -> str:
        if index in self._odd:
            return self._odd[index]
        upper = self._upper(index)
        return RECORD_PREFIX + _spell(upper << _INDEX_BITS | (index ^ (upper * _SPREAD & _INDEX_MASK)))

    def index_of(self, record_id: str) -> int | None:
        """The number of the record with this id, or None if no record of this world can have it."""
        if record_id in self._numbers:
            return self._numbers[record_id]
        number = _read(record_id.removeprefix(RECORD_PREFIX))
        if number is None:
            return None
        upper = number >> _INDEX_BITS
        index = (number & _INDEX_MASK) ^ (upper * _SPREAD & _INDEX_MASK)
        return index if upper == self._upper(index) and record_id.startswith(RECORD_PREFIX) else None

    def _upper(self, index: int) -> int:
        return int.from_bytes(self.digest(b"record", index, 13), "big") & _HASH_MASK


def _spell(number: int) -> str:
    pairs = []
    for _ in range(_LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))


def _read(text: str) -> int | None:
    if len(text) != _LENGTH:
        return None
    number = 0
    for letter in text:
        value = _VALUE.get(letter)
        if value is None:
            return None
        number = number * len(_ALPHABET) + value
    return number
