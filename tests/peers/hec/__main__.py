"""The collector as a process, so that it can be killed: ``python -m tests.peers.hec PORT FILE DELAY``.

FILE is its disk: a line for each event, written when it is indexed, before that is acknowledged. DELAY is how many
seconds it holds an accepted event in memory, where SIGKILL loses it.
"""

import asyncio
import sys
from pathlib import Path

from tests.peers.hec.indexer import Envelope, Indexer
from tests.peers.hec.server import TOKEN, HecServer


async def main(port: int, disk: Path, delay: float) -> None:
    """Serve until somebody ends it."""
    with disk.open("a") as file:

        def write(envelope: Envelope) -> None:
            file.write(f"{envelope['fields']['log_id']}\n")
            file.flush()

        indexer = Indexer()
        indexer.on_index = write
        server = HecServer(indexer)
        server.port, server.delay, server.tokens = port, delay, {TOKEN: "ack"}
        await server.start()
        while True:
            await asyncio.sleep(0.01)
            indexer.index(asyncio.get_running_loop().time())
            server.seen.clear()
            indexer.indexed.clear()
            indexer.texts.clear()


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
