"""What can be wrong with the journal's file: how each trouble is laid, and what it makes of those who meet it.

What lays a trouble returns how it is put right; None says that there is too little of a journal for it, or nothing to
put right.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

from forwarder.errors import JournalDamaged, JournalLocked, JournalUnavailable
from forwarder.journal.schema import VERSION
from tests.simulation.storage.file import FEWEST_PAGES, PAGE

if TYPE_CHECKING:
    from tests.simulation.storage import Storage

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


def promised(trouble: str) -> tuple[frozenset[int], frozenset[int]]:
    """What *trouble* makes of a start, and what it may make of a command that only reads."""
    like = {"rotten-beneath": "rotten", "worn-out": "bad-sector"}
    return TROUBLES[like.get(trouble, trouble)]


def _lock(storage: "Storage") -> Callable[[], None]:
    descriptor = os.open(f"{storage.file.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lambda: os.close(descriptor)


def _garble(storage: "Storage") -> Callable[[], None] | None:
    content = storage.file.whole()
    return _put_in_place(storage, b"\x00garbled" + content[8:]) if content else None


def _rot(storage: "Storage") -> Callable[[], None] | None:
    """Zeros where the last pages stood: what a file system may leave after a crash of its own."""
    content = storage.file.whole()
    kept = len(content) // PAGE * 2 // 3 * PAGE
    rotten = content[:kept] + bytes(len(content) - kept)
    return _put_in_place(storage, rotten) if content and not storage.file.is_as_good(rotten, content) else None


def _rot_beneath(storage: "Storage") -> Callable[[], None]:
    """The same beneath a daemon that runs: it ends, once it comes to what is not there any more."""
    began, aside = storage.stage.loop.time(), storage.file.parts()
    storage.hindered.append(Hindered(storage.stage.life.number, began, TROUBLES["rotten"][0]))
    with storage.file.path.open("r+b") as file:
        file.seek(PAGE)
        file.write(bytes(len(aside[""]) - PAGE))

    def put_back() -> None:
        if not storage.stage.life.ended.is_set():
            storage.complaints.append("the journal was rotten, and it went on")
        storage.file.put(aside)
        storage.restored.append(Restored(len(storage.stage.lives), began, storage.stage.loop.time()))

    return put_back


def _check_slowly(storage: "Storage") -> None:
    """In the middle of the next start's look over the file our clock is put forward by an hour."""
    left = len(storage.file.whole()) // PAGE // 2

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            storage.stage.clock.offset += 3600.0
            storage.stage.chronicle.note("journal", "the clock was put forward while it was read")

    storage.stage.disk.on_read = step
    storage.stage.disk.fail("read", 1, after=1 << 30)


def _wear_out(storage: "Storage") -> Callable[[], None]:
    """The disk fails once the next start has read all of the file."""
    storage.stage.disk.fail("read", 1 << 30, after=len(storage.file.whole()) // PAGE + 20)
    return lambda: storage.stage.disk.fail("read", 0)


def _flip_bits(storage: "Storage") -> None:
    """The oldest event that somebody has still to get cannot be read any more; nobody mends that."""
    if not (content := storage.file.whole()):
        return
    waiting = "SELECT min(ord) FROM event WHERE seq > (SELECT min(cursor) FROM sink)"
    spoil = f"UPDATE event SET body = '?' || substr(body, 2) WHERE ord = ({waiting}) RETURNING id"
    found, content = storage.file.run(spoil, content)
    storage.file.put({"": content})
    storage.spoilt.update(id_ for (id_,) in found)


def _belong_to_another_program(storage: "Storage") -> Callable[[], None] | None:
    return _put_in_place(storage, storage.file.run("CREATE TABLE notes (text)")[1]) if storage.file.whole() else None


def _come_from_the_future(storage: "Storage") -> Callable[[], None] | None:
    content = storage.file.whole()
    newer = f"PRAGMA user_version = {VERSION + 1}"
    return _put_in_place(storage, storage.file.run(newer, content)[1]) if content else None


def _unmount(storage: "Storage") -> Callable[[], None]:
    state = storage.stage.state
    away = state.rename(state.with_name("away"))

    def mount() -> None:
        away.rename(state)

    return mount


def _forbid(storage: "Storage") -> Callable[[], None]:
    storage.stage.disk.read_only = True

    def allow() -> None:
        storage.stage.disk.read_only = False

    return allow


def _fail_reads(storage: "Storage") -> Callable[[], None] | None:
    if not storage.file.whole():
        return None
    storage.stage.disk.fail("read", 1 << 30, after=storage.stage.random.randint(0, FEWEST_PAGES))
    return lambda: storage.stage.disk.fail("read", 0)


def _downgrade(storage: "Storage") -> Callable[[], None]:
    older = patch.object(sqlite3, "sqlite_version_info", (3, 34, 1))
    older.start()
    return older.stop


def _put_in_place(storage: "Storage", content: bytes) -> Callable[[], None]:
    """Let *content* stand where the journal was, to be left as it is, until the journal comes back."""
    aside = storage.file.parts()
    storage.file.put({"": content})

    def put_back() -> None:
        if storage.file.path.read_bytes() != content:
            storage.complaints.append("a file that the daemon cannot use was changed by it")
        storage.file.put(aside)

    return put_back


LAYERS: Mapping[str, Callable[["Storage"], Callable[[], None] | None]] = {
    "locked": _lock,
    "garbled": _garble,
    "rotten": _rot,
    "rotten-beneath": _rot_beneath,
    "flipped": _flip_bits,
    "checked-slowly": _check_slowly,
    "worn-out": _wear_out,
    "foreign": _belong_to_another_program,
    "newer": _come_from_the_future,
    "unmounted": _unmount,
    "read-only": _forbid,
    "bad-sector": _fail_reads,
    "old-sqlite": _downgrade,
}
