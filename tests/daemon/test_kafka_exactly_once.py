"""The exactly-once proof: daemon, brokers and journal suffer what they can, and the topic shows each id once.

What happens, in an order that the seed decides: SIGKILL of ours at any moment; SIGKILL of a broker, every other time of
the one that coordinates our transactions; SIGSTOP of ours while a second process takes over on a copy of the journal,
and SIGCONT when that delivers; a journal put back from an older backup. The judge is librdkafka's consumer.

``KAFKA_EVENTS``, ``KAFKA_KILLS``, ``KAFKA_BROKER_KILLS``, ``KAFKA_PAUSES``, ``KAFKA_ROLLBACKS`` and ``KAFKA_SEED`` set
how much of it there is; by default a tenth of what the acceptance page says.
"""

import asyncio
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from forwarder.errors import JournalUnavailable
from forwarder.journal.status import read_status
from tests.daemon.process import DaemonProcess, SimulatorProcess, caught_up, environment, simulator, status_of, until
from tests.peers.kafka_cluster import NODES, KafkaCluster

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.xdist_group("kafka-cluster")]

TOPIC = "audit"
PATIENCE = 120.0
"""Seconds for what takes one or two at leisure."""


def wanted(name: str, usually: int) -> int:
    """How much of something is asked for."""
    return int(os.environ.get(f"KAFKA_{name}", str(usually)))


EVENTS = wanted("EVENTS", 10_000)
KILLS = wanted("KILLS", 3)
BROKER_KILLS = wanted("BROKER_KILLS", 1)
PAUSES = wanted("PAUSES", 1)
ROLLBACKS = wanted("ROLLBACKS", 1)
SEED = wanted("SEED", 7)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers with the topics."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        cluster.create_topics(TOPIC)
        yield cluster
    finally:
        cluster.stop()


@dataclass
class Ordeal:
    """What was done, and how it came out."""

    done: Counter[str] = field(default_factory=Counter)
    """How often each thing was done."""
    said: Counter[str] = field(default_factory=Counter)
    """How often the daemons said what shows that it bit."""
    made: set[str] = field(default_factory=set)
    shown: Counter[str] = field(default_factory=Counter)
    written: int = 0
    """Records that a ``read_uncommitted`` reader sees."""
    seconds: float = 0.0

    def told(self) -> str:
        twice = self.shown.total() - len(self.shown)
        missing = len(self.made - self.shown.keys())
        return (
            f"seed {SEED}: made {len(self.made):,}; a read_committed reader sees {self.shown.total():,}: missing "
            f"{missing}, twice {twice}; a read_uncommitted one sees {self.written - self.shown.total():,} aborted "
            f"copies more; done {dict(self.done)}; said {dict(self.said)}; {self.seconds:.0f} s"
        )


class Deployment:
    """Ours: one journal, and a process on it now and then."""

    def __init__(self, folder: Path, persona: str, brokers: str) -> None:
        self.folder = folder
        self.takeovers = 0
        self._persona, self._brokers = persona, brokers
        self._backups: list[Path] = []
        self.settle_in(folder / "first")

    def settle_in(self, place: Path) -> None:
        """Work in *place* from now on."""
        place.mkdir(exist_ok=True)
        self.place = place

    @property
    def journal(self) -> Path:
        return self.place / "forwarder.db"

    def variables(self, **settings: object) -> dict[str, str]:
        kafka = {
            "sinks": "kafka",
            "kafka_bootstrap_servers": self._brokers,
            "kafka_topic": TOPIC,
            "kafka_message_key": "id",
            "kafka_batch_max_events": 50,
            "kafka_timeout": "20s",
            "persona_poll_interval": "1s",
            "persona_lookback": "10m",
            "persona_sweep_interval": "5s",
            "persona_page_size": 30,
        }
        variables = environment(self.place, self._persona, **{**kafka, **settings})
        del variables["FORWARDER_FILE_PATH"]
        return variables

    def process(self, **settings: object) -> DaemonProcess:
        return DaemonProcess(self.variables(**settings), self.place)

    def back_up(self) -> None:
        """Keep the journal as a crash leaves it, if there is one by then; nobody may be running."""
        try:
            read_status(self.journal, now=0)
        except JournalUnavailable:
            return
        self._backups.append(copy(self.journal, self.folder / f"backup-{len(self._backups)}.db"))

    def put_back(self, random: Random) -> None:
        """Put back one of the backups, not the last one while there are others."""
        older = self._backups[: max(1, len(self._backups) - 1)]
        copy(random.choice(older), self.journal)


def is_stopped(pid: int) -> bool:
    """Whether every thread of a process has come to a halt: the signal may find one in the middle of a write."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def copy(journal: Path, to: Path) -> Path:
    """Copy a journal that nobody is writing at this moment, with what SQLite has not put into it yet."""
    for ending in ("", "-wal", "-shm"):
        to.with_name(to.name + ending).unlink(missing_ok=True)
    for ending in ("", "-wal"):
        part = journal.with_name(journal.name + ending)
        if part.exists():
            shutil.copyfile(part, to.with_name(to.name + ending))
    return to


class Torment:
    """Does one thing after the other to *ours* and to *cluster*."""

    def __init__(self, ours: Deployment, cluster: KafkaCluster, ordeal: Ordeal, random: Random) -> None:
        self.ours, self.cluster, self.ordeal, self.random = ours, cluster, ordeal, random

    async def begin(self) -> None:
        """Deliver a little, and leave a backup."""
        with self.ours.process() as daemon:
            await daemon.logged("sink.opened", PATIENCE)
            self._end(daemon)
        self.ours.back_up()

    async def kill(self) -> None:
        """One time in three within the start, else at some moment after it."""
        with self.ours.process() as daemon:
            if self.random.random() < 1 / 3:
                await asyncio.sleep(self.random.uniform(0.2, 1.5))
            else:
                await daemon.logged("sink.opened", PATIENCE)
                await asyncio.sleep(self.random.uniform(0, 1.0))
            self._end(daemon)
        self.ours.back_up()

    async def kill_broker(self) -> None:
        """While ours delivers; the node comes back, and is in step again before this ends."""
        with self.ours.process() as daemon:
            await daemon.logged("sink.opened", PATIENCE)
            await asyncio.sleep(self.random.uniform(0, 0.5))
            coordinators = self.ordeal.done["kill_broker"] % 2 == 0
            node = (
                await asyncio.to_thread(self.cluster.coordinator, self.random)
                if coordinators
                else self.random.choice(NODES)
            )
            self.ordeal.done["of the coordinator"] += coordinators
            self.cluster.kill(node)
            await asyncio.sleep(self.random.uniform(0, 4))
            self.cluster.begin(node)
            await asyncio.to_thread(self.cluster.wait, lambda: self.cluster.is_whole(TOPIC))
            self._end(daemon)

    async def pause(self) -> None:
        """A second process takes over on a copy of the journal; the first wakes up, and finds out."""
        with self.ours.process() as first:
            await first.logged("sink.opened", PATIENCE)
            await asyncio.sleep(self.random.uniform(0, 1.0))
            first.send(signal.SIGSTOP)
            await until(lambda: is_stopped(first.pid), PATIENCE, lambda: "it does not stop")
            elsewhere = self.ours.folder / f"takeover-{self.ordeal.done['pause']}"
            elsewhere.mkdir()
            copy(self.ours.journal, elsewhere / "forwarder.db")
            self.ours.settle_in(elsewhere)
            with self.ours.process() as second:
                await second.logged("sink.opened", PATIENCE)
                await asyncio.sleep(self.random.uniform(0, 1.0))
                first.send(signal.SIGCONT)
                if await self._finds_out(first):
                    assert not second.events("sink.misconfigured"), second.words()
                self._end(second)
            self._end(first)

    async def roll_back(self) -> None:
        """Put an older journal back."""
        self.ours.put_back(self.random)
        with self.ours.process() as daemon:
            await daemon.logged("sink.opened", PATIENCE)
            await asyncio.sleep(self.random.uniform(0, 1.0))
            self._end(daemon)

    async def _finds_out(self, first: DaemonProcess) -> bool:
        """Wait until the first process says that it was replaced, which it finds out when it has something to send."""

        def said() -> bool:
            return any("taken our place" in line["reason"] for line in first.events("sink.misconfigured"))

        try:
            async with asyncio.timeout(PATIENCE):
                while not said():
                    assert first.status is None, first.words()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"the replaced process did not find out:\n{first.words()[-3000:]}", pytrace=False)
        return True

    def _end(self, daemon: DaemonProcess) -> None:
        assert daemon.status is None, daemon.words()
        daemon.kill()
        self.listen(daemon)

    def listen(self, daemon: DaemonProcess) -> None:
        """Note what a daemon said, and that it said nothing that it should not."""
        for name in ("sink.position_taken", "sink.ahead_of_journal"):
            self.ordeal.said[name] += len(daemon.events(name))
        for name in ("actor.failed", "sink.faulty", "sink.dead_lettered", "process.failed"):
            assert not daemon.events(name), daemon.words()
        replaced = [line["reason"] for line in daemon.events("sink.misconfigured")]
        assert all("taken our place" in reason for reason in replaced), replaced
        self.ordeal.said["replaced"] += len(replaced)


async def end_well(torment: Torment, persona: SimulatorProcess) -> None:
    """Let one daemon finish the work, and stop it as one should."""
    ours = torment.ours
    with ours.process(persona_page_size=100, kafka_batch_max_events=500) as daemon:
        await daemon.until(lambda: caught_up(ours.journal), 300)
        await persona.ask("POST", "live?rate=0")
        torment.ordeal.made = set(await persona.made())
        await until_idle(ours, len(torment.ordeal.made))
        assert await daemon.stop(60) == 0
        torment.listen(daemon)


async def until_idle(ours: Deployment, made: int) -> None:
    """Wait until the journal knows all ids and the sink has them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        status = await status_of(ours.variables(), ours.place)
        [source], [sink] = status["sources"], status["sinks"]
        if source["ids"] == made and sink["backlog_events"] == 0:
            assert sink["dead_letters"] == 0
            return
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.2)


async def suffer(cluster: KafkaCluster, folder: Path) -> Ordeal:
    ordeal, random, began = Ordeal(), Random(SEED), time.monotonic()
    arguments: list[Any] = ["--records", EVENTS, "--rate", 5, "--limit", 1_000_000, "--latency", 0.02]
    async with simulator(folder, *map(str, arguments)) as persona:
        torment = Torment(Deployment(folder, persona.url, cluster.address), cluster, ordeal, random)
        plan = [torment.kill] * KILLS + [torment.kill_broker] * BROKER_KILLS + [torment.pause] * PAUSES
        plan += [torment.roll_back] * ROLLBACKS
        random.shuffle(plan)
        for deed in [torment.begin, *plan]:
            await deed()
            ordeal.done[deed.__name__] += 1
            ordeal.done["after the catch-up"] += caught_up(torment.ours.journal)
        await end_well(torment, persona)
    records = await asyncio.to_thread(cluster.read, TOPIC)
    ordeal.shown = Counter(orjson.loads(record.value)["id"] for record in records)
    ordeal.written = len(await asyncio.to_thread(cluster.read, TOPIC, committed=False))
    ordeal.seconds = time.monotonic() - began
    print(ordeal.told())
    return ordeal


@pytest.mark.timeout(3600)
async def test_each_event_is_shown_once_whatever_is_killed_paused_or_put_back(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    ordeal = await suffer(cluster, tmp_path)
    assert ordeal.shown.keys() == ordeal.made, ordeal.told()
    assert ordeal.shown.total() == len(ordeal.made), ordeal.told()
    assert ordeal.said["replaced"] == PAUSES, ordeal.told()
