"""The journal's file and its companions as bytes: read whole, put aside, put back, spoilt."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from tests.simulation.disk import Disk

PAGE = 4096

FEWEST_PAGES = 8
"""A file with fewer is no journal yet."""

_SUFFIXES = ("", "-wal", "-journal")


class JournalFile:
    """What is at *path*, on *disk*; *scratch* is a folder for what SQLite is to look at elsewhere."""

    def __init__(self, path: Path, disk: Disk, scratch: Path) -> None:
        self.path = path
        self._disk = disk
        self._scratch = scratch

    def whole(self) -> bytes:
        """The journal as one file; empty where it is not made yet."""
        if not self.path.exists():
            return b""
        copy = self._scratch / "whole"
        for suffix in _SUFFIXES:
            file = self._file(suffix)
            Path(f"{copy}{suffix}").write_bytes(file.read_bytes() if file.exists() else b"")
        with closing(sqlite3.connect(copy)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = copy.read_bytes()
        return content if len(content) >= FEWEST_PAGES * PAGE else b""

    def parts(self) -> dict[str, bytes]:
        """What there is of it, by suffix."""
        return {suffix: file.read_bytes() for suffix in _SUFFIXES if (file := self._file(suffix)).exists()}

    def put(self, parts: Mapping[str, bytes]) -> None:
        """Let *parts*, and nothing else, be the journal."""
        self._file("-shm").unlink(missing_ok=True)
        for suffix in _SUFFIXES:
            self._disk.exchange(self._file(suffix), parts.get(suffix))

    def copy(self) -> bytes | None:
        """An online copy, beside whoever runs; None where it cannot be made now."""
        copy = self._scratch / "copy"
        copy.unlink(missing_ok=True)
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as source:
            with closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            return copy.read_bytes()
        return None

    def run(self, sql: str, content: bytes = b"") -> tuple[list[tuple[str, ...]], bytes]:
        """What *sql* finds in a database, by default an empty one, and what it makes of it."""
        file = self._scratch / "written"
        file.write_bytes(content)
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            found = db.execute(sql).fetchall()
        return found, file.read_bytes()

    def is_as_good(self, spoilt: bytes, content: bytes) -> bool:
        """Whether nothing is lost in the *spoilt* file: only pages were hit that *content* does not use."""
        try:
            if self.run("PRAGMA integrity_check", spoilt)[0] != [("ok",)]:
                return False
            return self._dump(spoilt) == self._dump(content)
        except sqlite3.DatabaseError:
            return False

    def _dump(self, content: bytes) -> list[str]:
        file = self._scratch / "read"
        file.write_bytes(content)
        with closing(sqlite3.connect(file)) as db:
            return list(db.iterdump())

    def _file(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")
