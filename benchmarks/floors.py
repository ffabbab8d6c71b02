"""The floors: what each stage costs when nothing but its library works, on the pages that the daemon also reads.

A process of its own, pinned by whoever starts it: ``python -m benchmarks.floors URL KEY FOLDER LINES`` prints one JSON
object, seconds per event of each floor, once by the wall clock and once of its own core.

- *http*: ``aiohttp`` reads the same pages from the same simulated Persona, one after the other, and parses nothing.
- *parse*: ``orjson.loads`` of those bytes.
- *insert*: ``sqlite3`` with the journal's own tables and pragmas: ids, users and events, one transaction a page.
- *write*: the same lines that the file sink wrote, 500 at a time, each time with an fsync.
"""

import asyncio
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from forwarder.journal.schema import TABLES
from forwarder.record import created_at, related_id

PAGE_SIZE = 100
BATCH = 500
"""Events in a batch of the file sink, by default."""

_NEXT = re.compile(rb'"next":"[^"]*page%5Bafter%5D=([^"]*)"')

Timing = dict[str, float]
Rows = list[tuple[Any, ...]]


async def read_pages(url: str, api_key: str) -> list[bytes]:
    """Read the whole list, newest first, as bytes."""
    headers = {"Authorization": f"Bearer {api_key}", "Key-Inflection": "kebab", "Persona-Version": "2023-01-05"}
    pages: list[bytes] = []
    address: str | None = f"{url}/user-audit-logs?page[size]={PAGE_SIZE}"
    async with aiohttp.ClientSession(headers=headers) as session:
        while address is not None:
            async with session.get(address) as response:
                pages.append(await response.read())
            found = _NEXT.search(pages[-1])
            cursor = None if found is None else found[1].decode()
            address = None if cursor is None else f"{url}/user-audit-logs?page[size]={PAGE_SIZE}&page[after]={cursor}"
    return pages


def parse_pages(pages: Sequence[bytes]) -> None:
    """Parse and forget."""
    for page in pages:
        orjson.loads(page)


def insert_pages(path: Path, pages: Sequence[tuple[Rows, ...]]) -> None:
    """Insert the rows of each page (ids, users, events) in a transaction of its own."""
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "cache_size = -16384"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(TABLES)
    for ids, users, events in pages:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO ids VALUES (?, ?, ?, ?, ?)", ids)
        db.executemany("INSERT OR REPLACE INTO user VALUES (?, ?, ?)", users)
        db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", events)
        db.execute("COMMIT")
    db.close()


def write_lines(path: Path, batches: Sequence[bytes]) -> None:
    """Append each batch and sync it."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for batch in batches:
        os.write(file, batch)
        os.fsync(file)
    os.close(file)


def rows_of(pages: Sequence[bytes]) -> list[tuple[Rows, ...]]:
    """Make the rows that the journal would hold for *pages*."""
    made: list[tuple[Rows, ...]] = []
    number = 0
    for page in pages:
        document = orjson.loads(page)
        ids: Rows = []
        events: Rows = []
        for resource in document["data"]:
            number += 1
            at, user = created_at(resource) or 0, related_id(resource, "user")
            ids.append((1, resource["id"], number, at, 0))
            body = orjson.dumps(resource)
            events.append((number, number, 1, resource["id"], user, 1, number, at, at, at, 0, body))
        users: Rows = [(1, user["id"], orjson.dumps(user)) for user in document.get("included", ())]
        made.append((ids, users, events))
    return made


def timed(work: Callable[[], object], events: int) -> Timing:
    """Run *work* and return microseconds an event: by the wall, and of this process on its core."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "wall": (time.perf_counter() - wall) * 1e6 / events,
        "cpu": (time.process_time() - cpu) * 1e6 / events,
    }


def main(url: str, api_key: str, folder: Path, lines: Path) -> dict[str, Timing]:
    """Measure all floors; *folder* takes scratch files, *lines* is what the file sink wrote."""
    pages: list[bytes] = []
    written = lines.read_bytes().splitlines(keepends=True)
    batches = [b"".join(written[start : start + BATCH]) for start in range(0, len(written), BATCH)]
    events = len(written)
    http = timed(lambda: pages.extend(asyncio.run(read_pages(url, api_key))), events)
    parse = timed(lambda: parse_pages(pages), events)
    rows = rows_of(pages)
    insert = timed(lambda: insert_pages(folder / "floor.db", rows), events)
    write = timed(lambda: write_lines(folder / "floor.jsonl", batches), events)
    return {"http": http, "parse": parse, "insert": insert, "write": write}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
