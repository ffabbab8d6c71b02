"""The one SQLite file behind the journal: its lock, its two connections, their threads, and what a full disk means."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import TypeVar

from forwarder.clock import Clock
from forwarder.errors import DiskFull, JournalUnavailable
from forwarder.journal.file import Reserve, connect, connect_read_only, lock, translated

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]
"""SQL to run on a connection, in a thread."""

VACUUM_PAGES = 2_000
"""Free pages given back to the disk in one turn."""


class Database:
    """Runs SQL: writing in one thread, each work one transaction; reading in another, beside it.

    :param clock, random: date and name a journal that is made
    :param executors: run the writer's and the reader's work, each one call at a time; threads of their own by default
    :param on_rollback: called in the writer's thread after a transaction was undone
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        random: Random,
        executors: tuple[Executor, Executor] | None,
        factory: type[sqlite3.Connection],
        on_rollback: Work[None],
    ) -> None:
        self.path = path
        self.disk_full = False
        """Whether only what needs no room is taken at the moment."""
        self._writer, self._reader = executors or (
            ThreadPoolExecutor(1, thread_name_prefix="journal-writer"),
            ThreadPoolExecutor(1, thread_name_prefix="journal-reader"),
        )
        self._clock = clock
        self._random = random
        self._factory = factory
        self._on_rollback = on_rollback
        self._reserve = Reserve(path)
        self._lock: int | None = None

    async def open(self, begin: Work[None]) -> None:
        """Take the lock and open the file, or make it; then do *begin*, outside of a transaction.

        :raises JournalLocked, JournalDamaged, JournalUnavailable: with the exit statuses of the contract
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open, begin)
        except BaseException:
            self._let_go()
            raise

    async def close(self, end: Work[None]) -> None:
        """Do *end* and let go of the file. Twice is fine."""
        if self._lock is None:
            return
        try:
            await self._on_writer(lambda: self._close(end))
        finally:
            self._let_go()

    async def write(self, work: Work[T], *, room_needed: bool = True) -> T:
        """Do *work* in one transaction.

        :raises DiskFull: nothing was changed; while that lasts, only what says that it needs no room is tried
        """
        if self.disk_full and room_needed:
            raise DiskFull(f"{self.path}: the disk is full")
        return await self._on_writer(lambda: self._transact(work))

    async def read(self, work: Work[T]) -> T:
        """Do *work*, which only reads."""

        def guarded() -> T:
            with translated(self.path):
                return work(self._reading)

        return await asyncio.get_running_loop().run_in_executor(self._reader, guarded)

    async def make_room(self) -> None:
        """Set the reserve aside again, if the disk has room for it, and give free pages back."""
        self.disk_full = not await self._on_writer(self._reserve.take)
        if not self.disk_full:
            await self._on_writer(self._vacuum)

    def _open(self, begin: Work[None]) -> None:
        self._lock = lock(self.path)
        try:
            self._connect(begin)
        except DiskFull as error:
            raise JournalUnavailable(f"the journal cannot be opened, its disk is full or fails: {error}") from error

    def _connect(self, begin: Work[None]) -> None:
        with ExitStack() as unless_opened:
            self._writing = connect(self.path, clock=self._clock, random=self._random, factory=self._factory)
            unless_opened.callback(self._writing.close)
            self._reading = connect_read_only(self.path)
            unless_opened.callback(self._reading.close)
            self.disk_full = not self._reserve.take()
            self._begin(begin)
            unless_opened.pop_all()

    def _begin(self, begin: Work[None]) -> None:
        with translated(self.path):
            try:
                begin(self._writing)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                # What is stored can still be delivered, which is what makes room.
                self._short_of_room()
                begin(self._writing)

    def _close(self, end: Work[None]) -> None:
        try:
            # Without room for it the next start takes this end for a crash, which only counts too much.
            with suppress(DiskFull), translated(self.path):
                end(self._writing)
        finally:
            self._reading.close()
            self._writing.close()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for executor in (self._writer, self._reader):
            executor.shutdown(wait=True)

    def _transact(self, work: Work[T]) -> T:
        db = self._writing
        try:
            with translated(self.path):
                db.execute("BEGIN IMMEDIATE")
                result = work(db)
                db.execute("COMMIT")
        except BaseException as error:
            with translated(self.path):
                if db.in_transaction:
                    db.execute("ROLLBACK")
                self._on_rollback(db)
            if isinstance(error, DiskFull):
                self._short_of_room()
            raise
        return result

    def _short_of_room(self) -> None:
        self.disk_full = True
        self._reserve.give_up()

    def _vacuum(self) -> None:
        with translated(self.path):
            self._writing.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()

    async def _on_writer(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not leave a transaction whose outcome nobody heard of half decided.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, work))
