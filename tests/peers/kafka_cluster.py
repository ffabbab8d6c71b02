"""Three nodes of real Apache Kafka, any of which may be killed: three replicas, two of which acknowledge."""

import re
import time
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka import KafkaException

from tests.peers import PeerProcess, accepts, free_port
from tests.peers.kafka import CLUSTER_ID, FILES, admin, java, kafka_jars, run_tool
from tests.peers.kafka_reader import Record, read_topic, reader

NODES = (1, 2, 3)


class KafkaCluster:
    """The nodes; what they hold outlives a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._jars = kafka_jars()
        self._plain = {node: free_port() for node in NODES}
        self._processes: dict[int, PeerProcess] = {}
        controllers = {node: free_port() for node in NODES}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in controllers.items())
        template = (FILES / "cluster.properties").read_text()
        for node in NODES:
            values = {
                "node": str(node),
                "voters": voters,
                "plain": str(self._plain[node]),
                "controller": str(controllers[node]),
                "data": str(folder / f"data-{node}"),
            }
            self._properties(node).write_text(re.sub(r"\{(\w+)\}", lambda hole: values[hole[1]], template))  # noqa: B023 # called at once
            run_tool(
                self._jars, "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID,
                "--config", str(self._properties(node)),
            )  # fmt: skip

    @property
    def address(self) -> str:
        """All nodes, as ``bootstrap_servers`` wants them."""
        return ",".join(f"127.0.0.1:{port}" for port in self._plain.values())

    # Its life

    def start(self) -> None:
        """Start all nodes and wait until they answer."""
        for node in NODES:
            self.begin(node)
        self.wait(lambda: all(accepts(port) for port in self._plain.values()))
        self.wait(lambda: self._known_nodes() == set(NODES))

    def begin(self, node: int) -> None:
        """Start one node, and do not wait for it."""
        command = [*java(self._jars), "kafka.Kafka", str(self._properties(node))]
        self._processes[node] = PeerProcess(command, self.folder / f"node-{node}.log")

    def kill(self, node: int) -> None:
        """End one node as a power cut would."""
        self._processes[node].kill()

    def stop(self) -> None:
        """End all for good; nothing that they hold is needed any more."""
        for process in self._processes.values():
            process.kill()

    # What it holds

    def create_topics(self, name: str) -> None:
        """Create a topic of six partitions, and that of the positions in it."""
        for topic, partitions, config in ((name, 6, {}), (f"{name}.checkpoint", 1, {"cleanup.policy": "compact"})):
            # Made for each use: it has no close, and its sockets would outlive a test.
            client = admin.AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            for answer in client.create_topics([admin.NewTopic(topic, partitions, 3, config=config)]).values():
                answer.result(timeout=60)
        self.wait(lambda: self.is_whole(name))

    def is_whole(self, topic: str) -> bool:
        """Whether all replicas of *topic*, and of what transactions rely on, are in sync."""
        found = self._topics()
        needed = [topic, f"{topic}.checkpoint", *({"__transaction_state"} & found.keys())]
        return all(
            name in found and all(len(each.isrs) == len(NODES) for each in found[name].partitions.values())
            for name in needed
        )

    def coordinator(self, random: Random) -> int:
        """The node that coordinates transactions; any where there were none yet."""
        found = self._topics().get("__transaction_state")
        leader = -1 if found is None else found.partitions[0].leader
        return leader if leader in NODES else random.choice(NODES)

    def read(self, topic: str, *, committed: bool = True) -> list[Record]:
        """Read all of *topic* with librdkafka."""
        return read_topic(self.address, topic, committed=committed)

    def wait(self, done: Any, seconds: float = 120) -> None:
        """Wait until *done*."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "the cluster does not become what it should be"
            time.sleep(0.1)

    def _topics(self) -> dict[str, Any]:
        try:
            with reader(self.address) as consumer:
                found: dict[str, Any] = consumer.list_topics(timeout=5).topics
        except KafkaException:
            return {}
        return found

    def _known_nodes(self) -> set[int]:
        """The nodes that may be given replicas: one that listens need not be among them yet."""
        try:
            with reader(self.address) as consumer:
                return set(consumer.list_topics(timeout=5).brokers)
        except KafkaException:
            return set()

    def _properties(self, node: int) -> Path:
        return self.folder / f"node-{node}.properties"
