"""What befalls the journal's file between two lives: locked, damaged, away, restored; and what commands read in it.

A trouble is laid when the daemon has ended, and the operator puts it right a while later. Until then each start has to
end with the exit status of the contract and leave the file as it is; from then on nothing may be missing.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from forwarder.errors import ForwarderError, JournalDamaged, JournalLocked, JournalUnavailable
from forwarder.journal.letters import find_dead_letters, list_dead_letters
from forwarder.journal.schema import VERSION
from forwarder.journal.status import Status, read_status

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

DISK_TROUBLES = {"disk-full", "disk-error", "disk-busy", "disk-tight"}
"""Happenings that may keep anybody from the journal while they last."""

OPENING = 5.0
"""Seconds within which a start has opened the journal or ended."""

UNAVAILABLE, DAMAGED, LOCKED = (one.exit_status for one in (JournalUnavailable, JournalDamaged, JournalLocked))

TROUBLES: Mapping[str, tuple[frozenset[int], frozenset[int]]] = {
    "locked": (frozenset({LOCKED}), frozenset({0})),
    "garbled": (frozenset({DAMAGED}), frozenset({DAMAGED})),
    "rotten": (frozenset({DAMAGED}), frozenset({0, DAMAGED})),
    "foreign": (frozenset({DAMAGED}), frozenset({DAMAGED})),
    "newer": (frozenset({UNAVAILABLE}), frozenset({UNAVAILABLE})),
    "unmounted": (frozenset({UNAVAILABLE}), frozenset({UNAVAILABLE})),
    "read-only": (frozenset({UNAVAILABLE}), frozenset({0, UNAVAILABLE})),
    "bad-sector": (frozenset({UNAVAILABLE}), frozenset({0, UNAVAILABLE})),
    "old-sqlite": (frozenset({UNAVAILABLE}), frozenset({0})),
}
"""What each makes of a start, and what it may make of a command that only reads."""

_SUFFIXES = ("", "-wal", "-journal")
_FEWEST_PAGES = 8
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Hindered:
    """Life *life* began, *at*, under a trouble that its start has to end for, with one of *statuses*."""

    life: int
    at: float
    statuses: frozenset[int]


@dataclass(frozen=True, slots=True)
class Restored:
    """From life *life* on the journal is again as it was at *backed_up*; it was put back *at*."""

    life: int
    backed_up: float
    at: float


class Storage:
    """The journal's file as the operator and other programs have to do with it."""

    def __init__(self, stage: "Stage", scratch: Path) -> None:
        self.hindered: list[Hindered] = []
        self.mended: list[float] = []
        """When each trouble ended."""
        self.restored: list[Restored] = []
        self.spoilt: set[str] = set()
        """Records whose event cannot be read in the journal any more."""
        self.complaints: list[str] = []
        """What was wrong with what a command read, or with a file that was to be left as it is."""
        self._stage = stage
        self._path = stage.state / "forwarder.db"
        self._scratch = scratch
        self._trouble = ""
        self._mend: Callable[[], None] = lambda: None
        self._waiting: list[Callable[[], None]] = []
        self._backup: tuple[float, bytes] | None = None

    # -- the daemon's lives ----------------------------------------------------------------------------------------

    def when_ended(self, act: Callable[[], None]) -> None:
        """Do *act* once no daemon has the file open."""
        self._waiting.append(act)
        if self._stage.life.ended.is_set():
            self.ended()

    def ended(self) -> None:
        """The daemon has ended: what waited for that happens now."""
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act()

    def began(self, life: int) -> None:
        """A life begins."""
        if self._trouble:
            self.hindered.append(Hindered(life, self._stage.loop.time(), _promised(self._trouble)[0]))

    def calm(self) -> None:
        """Put right what is wrong, and let nothing more come."""
        self._waiting.clear()
        self.mend()

    # -- troubles --------------------------------------------------------------------------------------------------

    def lay(self, trouble: str, lasts: float) -> None:
        """Let *trouble* be, until it is mended."""
        self.mend()
        mend = _LAYERS[trouble](self)
        if mend is None:
            return  # there is too little of a journal for it
        self._trouble, self._mend = trouble, mend
        self._stage.chronicle.note("journal", trouble)
        self._stage.loop.call_later(lasts, self.mend)

    def mend(self) -> None:
        """The operator has put it right. Twice is fine."""
        if self._trouble:
            self._mend()
            self._stage.chronicle.note("journal", f"no longer {self._trouble}")
            self._trouble = ""
            self.mended.append(self._stage.loop.time())

    def _lock(self) -> Callable[[], None]:
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lambda: os.close(descriptor)

    def _garble(self) -> Callable[[], None] | None:
        content = self._whole()
        return self._put_in_place(b"\x00garbled" + content[8:]) if content else None

    def _rot(self) -> Callable[[], None] | None:
        """Zeros where the last pages stood: what a file system may leave after a crash of its own."""
        content = self._whole()
        kept = len(content) // _PAGE * 2 // 3 * _PAGE
        rotten = content[:kept] + bytes(len(content) - kept)
        return self._put_in_place(rotten) if content and not self._is_as_good(rotten, content) else None

    def _rot_beneath(self) -> Callable[[], None]:
        """The same beneath a daemon that runs: it ends, once it comes to what is not there any more."""
        began, aside = self._stage.loop.time(), self._files()
        self.hindered.append(Hindered(self._stage.life.number, began, TROUBLES["rotten"][0]))
        with self._path.open("r+b") as file:
            file.seek(_PAGE)
            file.write(bytes(len(aside[""]) - _PAGE))

        def put_back() -> None:
            if not self._stage.life.ended.is_set():
                self.complaints.append("the journal was rotten, and it went on")
            self._put(aside)
            self.restored.append(Restored(len(self._stage.lives), began, self._stage.loop.time()))

        return put_back

    def _check_slowly(self) -> None:
        """In the middle of the next start's look over the file our clock is put forward by an hour."""
        left = len(self._whole()) // _PAGE // 2

        def step() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._stage.clock.offset += 3600.0
                self._stage.chronicle.note("journal", "the clock was put forward while it was read")

        self._stage.disk.on_read = step
        self._stage.disk.fail("read", 1, after=1 << 30)

    def _wear_out(self) -> Callable[[], None]:
        """The disk fails once the next start has read all of the file."""
        self._stage.disk.fail("read", 1 << 30, after=len(self._whole()) // _PAGE + 20)
        return lambda: self._stage.disk.fail("read", 0)

    def _flip_bits(self) -> None:
        """The oldest event that somebody has still to get cannot be read any more; nobody mends that."""
        if not (content := self._whole()):
            return
        waiting = "SELECT min(ord) FROM event WHERE seq > (SELECT min(cursor) FROM sink)"
        spoil = f"UPDATE event SET body = '?' || substr(body, 2) WHERE ord = ({waiting}) RETURNING id"
        found, content = self._run(spoil, content)
        self._put({"": content})
        self.spoilt.update(id_ for (id_,) in found)

    def _belong_to_another_program(self) -> Callable[[], None] | None:
        return self._put_in_place(self._run("CREATE TABLE notes (text)")[1]) if self._whole() else None

    def _come_from_the_future(self) -> Callable[[], None] | None:
        content = self._whole()
        newer = f"PRAGMA user_version = {VERSION + 1}"
        return self._put_in_place(self._run(newer, content)[1]) if content else None

    def _unmount(self) -> Callable[[], None]:
        state = self._stage.state
        away = state.rename(state.with_name("away"))

        def mount() -> None:
            away.rename(state)

        return mount

    def _forbid(self) -> Callable[[], None]:
        self._stage.disk.read_only = True

        def allow() -> None:
            self._stage.disk.read_only = False

        return allow

    def _fail_reads(self) -> Callable[[], None] | None:
        if not self._whole():
            return None
        self._stage.disk.fail("read", 1 << 30, after=self._stage.random.randint(0, _FEWEST_PAGES))
        return lambda: self._stage.disk.fail("read", 0)

    def _downgrade(self) -> Callable[[], None]:
        older = patch.object(sqlite3, "sqlite_version_info", (3, 34, 1))
        older.start()
        return older.stop

    # -- backups ---------------------------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Make an online copy, beside whoever runs, once there is anything to lose."""
        if self._trouble or not self._stage.chronicle.has_told("source.page_collected"):
            return
        copy = self._scratch / "copy"
        copy.unlink(missing_ok=True)
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as source:
            with closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            self._backup = (self._stage.loop.time(), copy.read_bytes())

    def restore(self) -> None:
        """Put the copy in the journal's place."""
        if self._backup is None:
            return
        self.mend()
        taken, content = self._backup
        self._put({"": content})
        self.restored.append(Restored(len(self._stage.lives), taken, self._stage.loop.time()))
        self._stage.chronicle.note("journal", f"put back as it was at {taken:.1f} s")

    # -- commands --------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """``forwarder status``, ``dead-letters list`` and ``show``, beside a daemon or without one."""
        stage, status = self._stage, 0
        try:
            self._check(read_status(self._path, now=stage.clock.now()))
        except ForwarderError as error:
            status = error.exit_status
        except Exception as error:  # noqa: BLE001 # the process's last resort, as in forwarder.cli
            self.complaints.append(f"status ended with 70: {error!r}")
        stage.chronicle.note("command", f"status {status}")
        allowed = _promised(self._trouble)[1] if self._trouble else {0}
        if not stage.chronicle.has_told("daemon.started"):
            allowed = allowed | {UNAVAILABLE}  # it is not made yet, or half made
        if status not in allowed and not self._disk_is_troubled():
            self.complaints.append(f"status ended with {status}, under {self._trouble or 'no trouble'}")

    def _disk_is_troubled(self) -> bool:
        return any(one.kind in DISK_TROUBLES for one in self._stage.plan.happenings)

    def _check(self, status: Status) -> None:
        letters = list_dead_letters(self._path)
        for sink in status.sinks:
            filed = [one.letter for one in letters if one.sink == sink.name]
            if len(filed) != sink.dead_letters:
                self.complaints.append(f"{sink.name} has {len(filed)} dead letters, and status {sink.dead_letters}")
            if list_dead_letters(self._path, sink.name) != [one for one in letters if one.sink == sink.name]:
                self.complaints.append(f"the dead letters of {sink.name} alone are others than among all")
        for filed_letter in letters[:3]:
            if filed_letter not in find_dead_letters(self._path, filed_letter.letter.id):
                self.complaints.append(f"the dead letter {filed_letter.letter.id} is listed, and cannot be shown")

    # -- inside ----------------------------------------------------------------------------------------------------

    def _put_in_place(self, content: bytes) -> Callable[[], None]:
        """Let *content* stand where the journal was, to be left as it is, until the journal comes back."""
        aside = self._files()
        self._put({"": content})

        def put_back() -> None:
            if self._path.read_bytes() != content:
                self.complaints.append("a file that the daemon cannot use was changed by it")
            self._put(aside)

        return put_back

    def _put(self, files: Mapping[str, bytes]) -> None:
        self._file("-shm").unlink(missing_ok=True)
        for suffix in _SUFFIXES:
            self._stage.disk.exchange(self._file(suffix), files.get(suffix))

    def _files(self) -> dict[str, bytes]:
        return {suffix: file.read_bytes() for suffix in _SUFFIXES if (file := self._file(suffix)).exists()}

    def _file(self, suffix: str) -> Path:
        return Path(f"{self._path}{suffix}")

    def _whole(self) -> bytes:
        """The journal as one file; empty where it is not made yet."""
        if not self._path.exists():
            return b""
        copy = self._scratch / "whole"
        for suffix in _SUFFIXES:
            file = self._file(suffix)
            Path(f"{copy}{suffix}").write_bytes(file.read_bytes() if file.exists() else b"")
        with closing(sqlite3.connect(copy)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = copy.read_bytes()
        return content if len(content) >= _FEWEST_PAGES * _PAGE else b""

    def _is_as_good(self, spoilt: bytes, content: bytes) -> bool:
        """Whether nothing is lost in the *spoilt* file: only pages were hit that *content* does not use."""
        try:
            if self._run("PRAGMA integrity_check", spoilt)[0] != [("ok",)]:
                return False
            return self._dump(spoilt) == self._dump(content)
        except sqlite3.DatabaseError:
            return False

    def _dump(self, content: bytes) -> list[str]:
        file = self._scratch / "read"
        file.write_bytes(content)
        with closing(sqlite3.connect(file)) as db:
            return list(db.iterdump())

    def _run(self, sql: str, content: bytes = b"") -> tuple[list[tuple[str, ...]], bytes]:
        """What *sql* finds in a database, by default an empty one, and what it makes of it."""
        file = self._scratch / "written"
        file.write_bytes(content)
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            found = db.execute(sql).fetchall()
        return found, file.read_bytes()


def _promised(trouble: str) -> tuple[frozenset[int], frozenset[int]]:
    like = {"rotten-beneath": "rotten", "worn-out": "bad-sector"}
    return TROUBLES[like.get(trouble, trouble)]


_LAYERS: Mapping[str, Callable[[Storage], Callable[[], None] | None]] = {
    "locked": Storage._lock,
    "garbled": Storage._garble,
    "rotten": Storage._rot,
    "rotten-beneath": Storage._rot_beneath,
    "flipped": Storage._flip_bits,
    "checked-slowly": Storage._check_slowly,
    "worn-out": Storage._wear_out,
    "foreign": Storage._belong_to_another_program,
    "newer": Storage._come_from_the_future,
    "unmounted": Storage._unmount,
    "read-only": Storage._forbid,
    "bad-sector": Storage._fail_reads,
    "old-sqlite": Storage._downgrade,
}
