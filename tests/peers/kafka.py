"""Real Apache Kafka: one node (KRaft), and two readers of what it holds that are not our client.

Its jars come by Maven into the cache (``kafka_broker/pom.xml`` pins the version); Java 17 runs them. Its listeners:
``plain`` for everybody, directly or by the ``proxy``; ``login`` (SASL), ``tls`` (SASL over mutual TLS), ``mutual``
(mutual TLS alone) and ``tokens`` (OAUTHBEARER over TLS) for :data:`USER`, who may do only what a test allows.
"""

import fcntl
import importlib
import itertools
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka import KafkaException, Producer, TopicPartition
from cryptography.hazmat.primitives import serialization

from tests.peers import CACHE, PeerProcess, accepts, free_port, unavailable
from tests.peers.kafka_reader import Record, read_topic, reader
from tests.peers.proxy import Proxy
from tests.peers.tokens import TokenIssuer

admin: Any = importlib.import_module("confluent_kafka.admin")  # its types do not export what it offers
USER, PASSWORD = "alice", "alice-has-a-secret"
FILES = Path(__file__).parent / "kafka_broker"
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_settled = itertools.count(1)
_LISTENERS = ("plain", "behind", "proxy", "login", "tls", "mutual", "tokens", "controller")


def kafka_jars() -> Path:
    """Find the broker's jars in the cache, or let Maven fetch them; skip where Java or Maven is missing."""
    pom = FILES / "pom.xml"
    found = re.search(r"<kafka\.version>(.+?)<", pom.read_text())
    assert found is not None
    if shutil.which("java") is None:
        unavailable("Apache Kafka needs Java, and this machine has none")
    jars = CACHE / f"kafka-{found[1]}"
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / "kafka.lock").open("w") as lock:  # two test processes fetch once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            if shutil.which("mvn") is None:
                unavailable("Apache Kafka is fetched with Maven, and this machine has none")
            partial = jars.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            command = [
                "mvn",
                "-q",
                "-B",
                "-f",
                str(pom),
                _COPY,
                f"-DoutputDirectory={partial}",
                "-DincludeScope=runtime",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode:
                unavailable(f"Apache Kafka cannot be fetched: {done.stdout.strip()[-500:]}")
            partial.rename(jars)
    return jars


def java(jars: Path) -> list[str]:
    """Begin a command that runs something of Kafka's."""
    # The first compiler only: the broker lives for seconds, and starts in half the time.
    options = [
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    return ["java", *options, "-cp", f"{jars}/*"]


def run_tool(jars: Path, tool: str, *arguments: str) -> str:
    """Run one of Kafka's own tools and return what it prints."""
    done = subprocess.run([*java(jars), tool, *arguments], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.fail(f"{tool} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


class KafkaBroker:
    """One broker; what it holds outlives :meth:`kill` and :meth:`start`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jars = kafka_jars()
        self._ports = {name: free_port() for name in _LISTENERS}
        self._process: PeerProcess | None = None
        self._frozen = False
        self._make_certificates()
        self.tokens = TokenIssuer(USER)
        (folder / "keys.json").write_text(self.tokens.keys)
        values = {name: str(port) for name, port in self._ports.items()} | {
            "data": str(folder / "data"),
            "user": USER,
            "password": PASSWORD,
            "keystore": str(folder / "broker.pem"),
            "authority": str(folder / "ca.pem"),
            "keys": str(folder / "keys.json"),
        }
        template = (FILES / "server.properties").read_text()
        self._properties = folder / "server.properties"
        self._properties.write_text(re.sub(r"\{(\w+)\}", lambda hole: values[hole[1]], template))
        scram = [f"SCRAM-SHA-{size}=[name={USER},password={PASSWORD}]" for size in (256, 512)]
        run_tool(
            self.jars, "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", CLUSTER_ID, "--config",
            str(self._properties), "--add-scram", scram[0], "--add-scram", scram[1],
        )  # fmt: skip

    def address(self, listener: str = "plain") -> str:
        """``host:port`` of one of the listeners."""
        return f"127.0.0.1:{self._ports[listener]}"

    def proxy(self) -> Proxy:
        """A proxy before it, not started yet; :meth:`address` of ``proxy`` is reached through it alone."""
        return Proxy(self._ports["proxy"], self._ports["behind"])

    # Its life

    def start(self) -> None:
        """Start it and wait until it answers."""
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{self.folder / 'keys.json'}"
        command = [*java(self.jars), "kafka.Kafka", str(self._properties)]
        command.insert(1, allowed)
        self._process = PeerProcess(command, self.folder / "broker.log")
        self._process.wait_until(self._is_ready, seconds=60)

    def warm_up(self) -> None:
        """Let it make what the first transaction of a cluster needs, which takes seconds."""
        settings = {"bootstrap.servers": self.address(), "transactional.id": "warm-up", "log_level": 0}
        Producer(settings).init_transactions(60)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()

    def freeze(self) -> None:
        """Keep its connections, and answer nothing any more."""
        assert self._process is not None
        self._process.process.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """End :meth:`freeze`, and wait until it leads again: its controller may have given it up meanwhile."""
        assert self._process is not None
        if self._frozen:
            self._process.process.send_signal(signal.SIGCONT)
            self._frozen = False
            self._process.wait_until(self._is_ready)

    def stop(self) -> None:
        """End it for good; nothing that it holds is needed any more."""
        if self._process is not None:
            self._process.process.send_signal(signal.SIGCONT)
            self._process.stop()

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.process.poll() is None

    # What it holds

    def create_topic(self, name: str, *, partitions: int = 3, **config: str) -> None:
        """Create a topic; configuration keys with ``_`` for ``.``."""
        settings = {key.replace("_", "."): value for key, value in config.items()}
        self._administer("create_topics", admin.NewTopic(name, partitions, 1, config=settings))
        self._wait_until_leading(name)

    def create_topics(self, name: str, *, partitions: int = 3, **config: str) -> None:
        """Create a topic and that of the positions in it."""
        self.create_topic(name, partitions=partitions, **config)
        self.create_topic(f"{name}.checkpoint", partitions=1, cleanup_policy="compact")

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self._administer("delete_topics", name)
        self._settle()

    def configure_topic(self, name: str, **config: str) -> None:
        """Change the topic's configuration; keys as in :meth:`create_topic`."""
        entries = [
            admin.ConfigEntry(key.replace("_", "."), value, incremental_operation=admin.AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        self._administer("incremental_alter_configs", resource)
        self._settle()

    def describe_topic(self, name: str) -> dict[str, Any]:
        """How many ``partitions`` a topic has, and its configuration."""
        resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, name)
        client = self._client()
        (answer,) = client.describe_configs([resource]).values()
        with reader(self.address()) as consumer:
            partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
        return {"partitions": len(partitions), **{key: entry.value for key, entry in answer.result(20).items()}}

    def allow(self, operation: str, name: str, *, kind: str = "TOPIC", pattern: str = "LITERAL") -> None:
        """Let :data:`USER` do *operation* (``WRITE``, ``DESCRIBE``, …) on a topic, or another kind of thing."""
        self._allow([(operation, name, kind, pattern)])

    def allow_exactly_once(self, topic: str, *, but: str = "") -> None:
        """Let :data:`USER` do what exactly-once takes, except for the right *but*, ``OPERATION name``."""
        rights = [
            ("WRITE", topic, "TOPIC", "LITERAL"),
            ("READ", f"{topic}.checkpoint", "TOPIC", "LITERAL"),
            ("WRITE", f"{topic}.checkpoint", "TOPIC", "LITERAL"),
            ("WRITE", f"id-{topic}", "TRANSACTIONAL_ID", "LITERAL"),
        ]
        self._allow([right for right in rights if f"{right[0]} {right[1]}" != but])

    def _allow(self, rights: Sequence[tuple[str, str, str, str]]) -> None:
        for operation, name, kind, pattern in rights:
            rule = admin.AclBinding(
                admin.ResourceType[kind],
                name,
                admin.ResourcePatternType[pattern],
                f"User:{USER}",
                "*",
                admin.AclOperation[operation],
                admin.AclPermissionType.ALLOW,
            )
            self._administer("create_acls", rule)
        self._settle()

    def read(self, topic: str, *, committed: bool = True) -> list[Record]:
        """Read all of *topic* with librdkafka, partition by partition; unless *committed*, what was aborted, too."""
        return read_topic(self.address(), topic, committed=committed)

    def read_with_java(self, topic: str, count: int) -> str:
        """Read *count* records of *topic* with Kafka's own console consumer; a line each, as it prints them."""
        show = [
            part
            for what in ("partition", "offset", "timestamp", "headers", "key")
            for part in ("--formatter-property", f"print.{what}=true")
        ]
        return run_tool(
            self.jars, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", self.address(),
            "--topic", topic,
            "--from-beginning", "--max-messages", str(count), "--timeout-ms", "15000", *show,
        )  # fmt: skip

    def _client(self) -> Any:
        # Made for each use: it has no close, and its sockets would outlive a test.
        return admin.AdminClient({"bootstrap.servers": self.address(), "log_level": 0})

    def _administer(self, method: str, wanted: Any) -> None:
        client = self._client()
        for answer in getattr(client, method)([wanted]).values():
            answer.result(timeout=20)

    def _settle(self) -> None:
        """Wait until the broker acts on all that it was asked for: its controller answers before that.

        The broker takes the controller's decisions over in batches, in order, one batch after the other, and shows a
        new topic when it begins with the batch that holds it. So where a first topic is seen, its batch may still be
        on its way; a second one, asked for only then, is in a later batch.
        """
        for _ in range(2):
            name = f"settled-{next(_settled)}"
            self._administer("create_topics", admin.NewTopic(name, 1, 1))
            self._wait_until_leading(name)

    def _wait_until_leading(self, topic: str) -> None:
        deadline = time.monotonic() + 30
        while not self._leads(topic):
            assert time.monotonic() < deadline, f"topic {topic} is not ready"
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        return accepts(self._ports["plain"]) and self._leads()

    def _leads(self, topic: str | None = None) -> bool:
        """Whether it leads the partitions of *topic*, or all: it names itself their leader some time before that."""
        try:
            with reader(self.address()) as consumer:
                found = consumer.list_topics(timeout=1).topics
                for name in found if topic is None else [topic]:
                    for partition in found[name].partitions:
                        consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=1)
        except (KafkaException, KeyError):
            return False
        return True

    def _make_certificates(self) -> None:
        authority = trustme.CA(key_type=trustme.KeyType.RSA)
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        broker = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
        key = serialization.load_pem_private_key(broker.private_key_pem.bytes(), None)
        pkcs8 = serialization.PrivateFormat.PKCS8  # the only form that Kafka reads
        pem = key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
        chain = b"".join(part.bytes() for part in broker.cert_chain_pems)
        (self.folder / "broker.pem").write_bytes(pem + chain)
        client = authority.issue_cert("alice@example.com", common_name=USER)
        client.private_key_and_cert_chain_pem.write_to_path(self.folder / "client.pem")
