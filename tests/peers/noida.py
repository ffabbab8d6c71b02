"""A broker without Java that checks sequences, fences, and shows no aborted transaction: noida-db, from its wheel.

It is one small program, not Apache Kafka: no TLS, no rights, no replicas, and what it was told last is lost by a
SIGKILL. What it keeps alive is the fast tests of transactions where there is no Java; the proof is that of
``tests/peers/kafka.py``.
"""

import importlib
import os
import signal
from pathlib import Path

from tests.peers import PeerProcess, accepts, free_port
from tests.peers.kafka import admin
from tests.peers.kafka_reader import Record, read_topic


class Noida:
    """One broker; what it holds outlives :meth:`stop` and :meth:`start`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()
        self._process: PeerProcess | None = None
        self._frozen = False
        module = importlib.import_module("noida_db")
        assert module.__file__ is not None
        self._program = Path(module.__file__).with_name("noida-db")

    @property
    def address(self) -> str:
        """Its ``host:port``."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        service = ["--only", "kafka", "--kafka-port", str(self._port)]
        # It keeps what it holds below the directory in which it runs.
        self._process = PeerProcess(
            ["env", "-C", self.folder, self._program, "start", *service], self.folder / "noida.log"
        )
        self._process.wait_until(lambda: accepts(self._port))

    def stop(self) -> None:
        """End it as it likes to be ended, so that it keeps what it was told; its connections are cut."""
        if self._process is not None:
            self.thaw()
            self._process.stop()
            self._process = None

    def freeze(self) -> None:
        """Keep its connections, and answer nothing any more."""
        assert self._process is not None
        os.kill(self._process.process.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """End :meth:`freeze`."""
        assert self._process is not None
        if self._frozen:
            os.kill(self._process.process.pid, signal.SIGCONT)
            self._frozen = False

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None

    def create_topics(self, name: str) -> None:
        """Create a topic of three partitions, and that of the positions in it."""
        client = admin.AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        wanted = [
            # It deletes old records at once, and those of the tests are old by the time that they bear.
            admin.NewTopic(name, 3, 1, config={"retention.ms": "-1"}),
            admin.NewTopic(f"{name}.checkpoint", 1, 1, config={"cleanup.policy": "compact"}),
        ]
        for answer in client.create_topics(wanted).values():
            answer.result(timeout=20)

    def read(self, topic: str, *, committed: bool = True) -> list[Record]:
        """Read all of *topic*."""
        return read_topic(self.address, topic, committed=committed)
