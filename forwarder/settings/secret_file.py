"""A secret that lives in a file and may be rotated there while the daemon runs."""

import os
from pathlib import Path

from forwarder.logs import get_logger

_MOST_BYTES = 1 << 20

_Identity = tuple[int, int, int, int]


class SecretFile:
    """The secret in the file *path*: read now, and again by a call after the file has changed.

    Changed means another inode, size or time of modification behind the path, all links followed: Kubernetes rotates
    by moving the symbolic link ``..data``, others rename a new file over the old, others write in place. A change that
    cannot be read (or is empty: half of a write in place) leaves the last good value in use and is logged once.

    :param variable: the variable that named the file; messages name it and never the path, which is the secret
        itself where somebody mistook ``X_FILE`` for ``X``
    :raises ValueError: the file cannot be read or is empty now
    """

    def __init__(self, variable: str, path: Path) -> None:
        self._variable = variable
        self._path = path
        self._seen, self._value = self._read()
        self._failed: str | None = None

    def __call__(self) -> str:
        """Return the secret as it is now; never raises."""
        try:
            if self._identity(self._path.stat()) != self._seen or self._failed:
                self._take(*self._read())
        except (OSError, ValueError) as error:
            self._keep(_reason(error))
        return self._value

    def _take(self, seen: _Identity, value: str) -> None:
        if value != self._value:
            get_logger().info("secret.changed", variable=self._variable)
        self._seen, self._value, self._failed = seen, value, None

    def _keep(self, reason: str) -> None:
        if reason != self._failed:
            get_logger().warning("secret.unreadable", variable=self._variable, reason=reason)
        self._failed = reason

    def _read(self) -> tuple[_Identity, str]:
        try:
            with self._path.open("rb") as file:
                # The identity is taken before the content: a write in between is seen as a change next time.
                seen = self._identity(os.fstat(file.fileno()))
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise ValueError(_reason(error)) from error
        return seen, _secret_in(content)

    @staticmethod
    def _identity(stat: os.stat_result) -> _Identity:
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _secret_in(content: bytes) -> str:
    if len(content) > _MOST_BYTES:
        raise ValueError("the file is larger than 1 MiB, which no secret is")
    try:
        value = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    if not value:
        raise ValueError("the file is empty")
    return value


def _reason(error: OSError | ValueError) -> str:
    return f"the file cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
