"""Pseudonyms: the same value gets the same name wherever it stands, and only the key's owner can check a guess."""

import hmac
import re
from hashlib import sha256
from typing import Final

MIN_KEY_BYTES: Final = 16
"""A shorter key could be found by trying."""

_SUBJECT = b"persona-siem-forwarder pseudonym\x00"
_KEY_SUBJECT = b"persona-siem-forwarder key id\x00"


class Pseudonyms:
    """Keyed hashes: ``p1_`` + key id (4 hex digits) + ``_`` + 128 bits of HMAC-SHA-256 (32 hex digits).

    ``p1`` is this scheme; the key id comes from the key alone, so that a rotated key is visible in the data and
    pseudonyms of two keys are never taken for each other. What contains an ``@`` is compared without case, as people
    write addresses.

    :raises ValueError: the key is shorter than :data:`MIN_KEY_BYTES`
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the key of pseudonyms has {len(key)} bytes; give at least {MIN_KEY_BYTES} random ones")
        self._key = key
        self.key_id = hmac.digest(key, _KEY_SUBJECT, sha256)[:2].hex()
        self._own = re.compile(rf"p1_{self.key_id}_[0-9a-f]{{32}}")

    def replace(self, value: str) -> str:
        """Return the pseudonym of *value*; one that this key made stays."""
        if self._own.fullmatch(value):
            return value
        if "@" in value:
            value = value.strip().casefold()
        # Lone surrogates come out of JSON inside strings; they must not stop a record.
        digest = hmac.digest(self._key, _SUBJECT + value.encode("utf-8", "surrogatepass"), sha256)
        return f"p1_{self.key_id}_{digest[:16].hex()}"
