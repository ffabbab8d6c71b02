"""The journal without threads, on a disk that forgets nothing and a process that can die after any statement."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ClassVar, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Inline(Executor):
    """Runs each call at once, in the caller's thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 # handed to whoever waits for the future
            future.set_exception(error)
        return future


class Crash(Exception):
    """The process died."""


class Mortal(sqlite3.Connection):
    """A connection whose process dies after statement number :attr:`dies_after`, and is dead from then on."""

    alive: ClassVar[list["Mortal"]] = []
    dies_after: ClassVar[int | None] = None
    executed: ClassVar[int] = 0
    last_words: ClassVar[Counter[str]] = Counter()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dead = False
        Mortal.alive.append(self)
        # The test is about what is in the file, not about when it is on the platter.
        super().execute("PRAGMA synchronous = OFF")

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql.startswith("PRAGMA synchronous"):
            return super().execute("SELECT 1")
        return self._mortally(lambda: super(Mortal, self).execute(sql, *args), sql)

    def executemany(self, sql: str, *args: Any) -> sqlite3.Cursor:
        return self._mortally(lambda: super(Mortal, self).executemany(sql, *args), sql)

    def _mortally(self, work: Callable[[], sqlite3.Cursor], sql: str) -> sqlite3.Cursor:
        if self._dead:
            raise Crash
        cursor = work()
        Mortal.executed += 1
        if Mortal.dies_after is not None and Mortal.executed >= Mortal.dies_after:
            Mortal.dies_after = None
            Mortal.last_words[sql] += 1
            self._dead = True
            cursor.close()  # else SQLite keeps the dead connection open for it
            raise Crash
        return cursor

    @classmethod
    def bury(cls) -> None:
        """Close what dead and living connections hold; what was not committed is gone."""
        for connection in cls.alive:
            connection.close()
        cls.alive.clear()
