"""Which keys look as if their values were secrets, whatever their casing and separators.

A key is taken apart into words (``newAPIKey`` is new, api, key) and matches where its last words are one of
:data:`ENDINGS`. So ``session-token`` matches; ``token-type``, ``password-reset-at`` and ``secret-santa-list`` do not.
Booleans are left alone by :mod:`forwarder.privacy.treatment` (``has-password``, ``show-token``).
"""

import re
import unicodedata

ENDINGS = frozenset(
    {
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "secret",
        "token",
        "credential",
        "authorization",
        "bearer",
        "jwt",
        "cookie",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "signingkey",
        "encryptionkey",
        "masterkey",
        "hmackey",
        "otp",
        "totp",
        "otpattempt",
        "mnemonic",
        "seedphrase",
        "codeverifier",
        "clientassertion",
        "samlresponse",
        "samlassertion",
        "otpcode",
        "mfacode",
        "smscode",
        "onetimecode",
        "authcode",
        "authorizationcode",
        "verificationcode",
        "recoverycode",
        "backupcode",
        "twofactorcode",
        "2facode",
        "securitycode",
        "ssn",
        "socialsecuritynumber",
        "cardnumber",
        "cvv",
        "cvc",
    },
)
"""The last words of a secret-like key, written together."""

WHOLE = frozenset({"pass", "pin", "auth"})
"""Words that are secret-like only as a whole key: `boarding-pass` and `map-pin` are not."""

RUN_TOGETHER = ("password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey")
"""What a word may also end in where an author wrote words together: `userpassword`."""

QUALIFIERS = frozenset(
    {
        "confirmation",
        "confirm",
        "again",
        "repeat",
        "hash",
        "digest",
        "value",
        "text",
        "plaintext",
        "raw",
        "string",
        "encoded",
        "encrypted",
        "base64",
        "header",
    },
)
"""Words after a secret-like ending that change nothing about it: `password_confirmation`."""

_LONGEST = max(map(len, ENDINGS))
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W_]+")


def words(key: str) -> list[str]:
    """Return the words of *key* in lower case: ``X-APIKey_2`` is x, api, key, 2."""
    return [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFKC", key))]


def squash(key: str) -> str:
    """Return *key* as it is compared: without case and separators."""
    return "".join(character for character in unicodedata.normalize("NFKC", key).casefold() if character.isalnum())


def is_secretlike(key: str) -> bool:
    """Whether the value behind *key* is to be redacted by default."""
    parts = words(key)
    while len(parts) > 1 and (parts[-1].isdigit() or parts[-1] in QUALIFIERS):
        parts.pop()
    if not parts:
        return False
    if "".join(parts) in WHOLE or _singular(parts[-1]).endswith(RUN_TOGETHER):
        return True
    ending = ""
    for part in reversed(parts):
        ending = part + ending
        if len(ending) > _LONGEST + 1:
            return False
        if ending in ENDINGS or _singular(ending) in ENDINGS:
            return True
    return False


def _singular(word: str) -> str:
    return word.removesuffix("s")
