"""Receivers that are killed while events are sent: what is missing in the end, ours beside rsyslog's own."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from forwarder.sinks.base import Item
from forwarder.sinks.syslog.message import Header, write_message
from forwarder.sinks.syslog.relp import RelpSession
from tests.peers import Growing, free_port
from tests.peers.rsyslog import Rsyslog, RsyslogProcess, ServerTls, Transport
from tests.sinks.syslog_peers import client_tls, make_sink, server_tls, write_tls_files
from tests.soaks import KILLS
from tests.soaks.delivery import Delivery, resources

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1800)]

WINDOW = 128
AHEAD = 4000
"""Events that wait for the sink at full speed."""

BACKLOG = 12_000
"""Messages that `omfwd` has to send when the receiver comes up: more than it sends before the next kill."""


class Marks:
    """The file of a receiver, a line a message: who sent it and its number; read while it grows."""

    def __init__(self, path: Path) -> None:
        self._growing = Growing(path)
        self.seen: dict[str, Counter[int]] = {"persona": Counter(), "omfwd": Counter()}

    def look(self) -> dict[str, Counter[int]]:
        """Read on."""
        for line in self._growing.more():
            name, _, seq = line.decode().partition(" ")
            if seq:
                self.seen[name][int(seq)] += 1
        return self.seen

    def missing(self, name: str, up_to: int) -> int:
        """Count the numbers from 1 to *up_to* that never came."""
        return sum(seq not in self.seen[name] for seq in range(1, up_to + 1))

    def repeated(self, name: str) -> int:
        """Count what came again."""
        return self.seen[name].total() - len(self.seen[name])


@dataclass
class Ordeal:
    """A receiver that is killed again and again."""

    receiver: Rsyslog
    marks: Marks
    chance: random.Random = field(default_factory=lambda: random.Random(KILLS))

    async def kill_often(self, *, at_least: int, check: Callable[[], None] = lambda: None) -> None:
        """Kill it `KILLS` times, each time after it took *at_least* new messages of ours; *check* after each."""
        for _ in range(KILLS):
            await self.strike("persona", at_least=at_least, within=0.2)
            check()
            await self.rise()

    async def strike(self, whose: str, *, at_least: int, within: float) -> None:
        """Kill it *within* so many seconds from when it has taken *at_least* new messages of this sender."""
        await asyncio.to_thread(self._strike, whose, at_least, self.chance.uniform(0, within))

    async def rise(self) -> None:
        """Start it again, a little later."""
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        await asyncio.to_thread(self.receiver.start)

    def _strike(self, whose: str, at_least: int, later: float) -> None:
        """In a thread, since the loop is busy sending: `omfwd` sends thousands while a turn of it lasts."""
        before, began = len(self.marks.look()[whose]), time.monotonic()
        while len(self.marks.look()[whose]) < before + at_least:
            assert time.monotonic() < began + 120, self.receiver.said()[-2000:]
            time.sleep(0.005)
        time.sleep(later)
        self.receiver.kill()
        self.marks.look()


@pytest.fixture
def tls_files(tmp_path: Path) -> dict[str, Path]:
    return write_tls_files(tmp_path)


@pytest.fixture
def ordeal(tmp_path: Path, tls_files: dict[str, Path], transport: Transport) -> Iterator[Ordeal]:
    """Start a receiver on the transport that the test is for."""
    permitted = ("forwarder.test",) if transport == "relp+tls" else ()
    tls = server_tls(tls_files, *permitted) if "tls" in transport else None
    receiver = Rsyslog(tmp_path / "receiver", transport, tls=tls, template="mark")
    receiver.start()
    yield Ordeal(receiver, Marks(receiver.output))
    receiver.stop()


def ours(receiver: Rsyslog, files: dict[str, Path], **settings: Any) -> Delivery:
    """Our side, as an operator has it."""
    trust = client_tls(files, "forwarder") if "tls" in receiver.transport else {}
    return Delivery(make_sink(receiver, **trust, **settings))


async def keep_full(delivery: Delivery) -> None:
    """Release events as fast as they are sent, for ever."""
    while True:
        if delivery.made - delivery.acknowledged < AHEAD:
            delivery.release(resources(1000, seed=delivery.made, first=delivery.made + 1))
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("transport", ["relp", "relp+tls"])
async def test_a_killed_receiver_of_relp_loses_nothing(ordeal: Ordeal, tls_files: dict[str, Path]) -> None:
    """At each kill all that was acknowledged is there; in the end all is, and a window a kill may be twice."""
    delivery = ours(ordeal.receiver, tls_files)
    lost: list[int] = []
    async with delivery.running():
        feeding = asyncio.ensure_future(keep_full(delivery))

        def check() -> None:
            lost.append(ordeal.marks.missing("persona", delivery.acknowledged))

        await ordeal.kill_often(at_least=2 * WINDOW, check=check)
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await delivery.all_acknowledged()
    ordeal.marks.look()
    missing, repeated = ordeal.marks.missing("persona", delivery.made), ordeal.marks.repeated("persona")
    print(f"{ordeal.receiver.transport}: {delivery.made:,} events, {KILLS} kills, ", end="")
    print(f"{sum(lost)} of the acknowledged and {missing} of all missing, {repeated} twice (at most {KILLS * WINDOW})")
    assert lost == [0] * KILLS
    assert missing == 0
    assert repeated <= KILLS * WINDOW
    assert delivery.dead_letters == 0


# On a machine that stands still for as long as the settle time, a comparison says nothing.
beside_omfwd = pytest.mark.skipif("SYSLOG_KILLS" not in os.environ, reason="rsyslog is raced where SYSLOG_KILLS is set")


class Relay:
    """Rsyslog that forwards with `omfwd`, as it comes but for trying for ever, what it is given over RELP."""

    def __init__(self, folder: Path, receiver: Rsyslog, tls: ServerTls | None) -> None:
        self.port = free_port()
        secure = ""
        files = ""
        if tls is not None:
            secure = ' StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="anon"'
            files = f' defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{tls.ca_file}"'
        target = f'target="127.0.0.1" port="{receiver.port}" protocol="tcp" TCP_Framing="octet-counted"{secure}'
        configuration = "\n".join(
            [
                f'global(workDirectory="{folder}" maxMessageSize="8192"{files})',
                f'module(load="imrelp")\ninput(type="imrelp" address="127.0.0.1" port="{self.port}" ruleset="relay")',
                'ruleset(name="relay" queue.type="LinkedList" queue.size="2000000") {',
                f'  action(type="omfwd" {target} template="RSYSLOG_SyslogProtocol23Format"',
                '         action.resumeRetryCount="-1" action.resumeInterval="1")',
                "}",
            ]
        )
        self._rsyslog = RsyslogProcess(folder, configuration)
        self._session: RelpSession | None = None
        self._header = Header(13, "host.example", "omfwd", "persona@32473")

    async def start(self) -> None:
        """Start it, and open a session with it."""
        process = self._rsyslog.start()
        for _ in range(600):
            with suppress(OSError):
                self._session = await RelpSession().connect("127.0.0.1", self.port)
                break
            assert process.process.poll() is None, self._rsyslog.said()
            await asyncio.sleep(0.05)
        assert self._session is not None
        await self._session.open()

    async def give(self, items: list[Item]) -> None:
        """Give it *items*; it has them when this returns."""
        assert self._session is not None
        await self._session.send([write_message(item, self._header) for item in items])

    async def stop(self) -> None:
        """End it."""
        if self._session is not None:
            await self._session.close()
        self._rsyslog.stop()


@dataclass
class Race:
    """Ours and rsyslog's `omfwd`, which send the same messages to the same receiver at the same time."""

    ordeal: Ordeal
    delivery: Delivery
    relay: Relay

    async def give(self, count: int) -> None:
        """Give both the same events."""
        first = self.delivery.made
        self.delivery.release(resources(count, seed=first, first=first + 1))
        await self.relay.give([Item(one.seq, one.event(), one.body) for one in self.delivery.journal.events[first:]])

    async def give_until_omfwd_has_to_send(self, backlog: int) -> None:
        """Give both the same events, until `omfwd` has so many that the receiver has not seen."""
        while self.delivery.made - max(self.ordeal.marks.look()["omfwd"], default=0) < backlog:
            await self.give(2000)

    async def give_at(self, rate: int) -> None:
        """Give so many a second, for ever."""
        while True:
            began = time.monotonic()
            await self.give(rate // 10)
            await asyncio.sleep(max(0.0, began + 0.1 - time.monotonic()))

    async def finish(self, what: str) -> dict[str, int]:
        """Let both send what they have, and count what is missing."""
        await self.delivery.all_acknowledged()
        marks = self.ordeal.marks
        await _nothing_more_comes(marks)
        missing = {name: marks.missing(name, self.delivery.made) for name in ("persona", "omfwd")}
        twice = {name: marks.repeated(name) for name in missing}
        print(f"{self.ordeal.receiver.transport}, {what}: {self.delivery.made:,} events; ", end="")
        print(f"missing: ours {missing['persona']}, omfwd {missing['omfwd']}; ", end="")
        print(f"twice: ours {twice['persona']}, omfwd {twice['omfwd']}")
        return missing


@pytest_asyncio.fixture
async def race(ordeal: Ordeal, tls_files: dict[str, Path], tmp_path: Path) -> AsyncIterator[Race]:
    """Start a relay beside ours; ours has its default settle time."""
    receiver = ordeal.receiver
    relay = Relay(tmp_path / "relay", receiver, server_tls(tls_files) if receiver.transport == "tls" else None)
    await relay.start()
    yield Race(ordeal, ours(receiver, tls_files, settle="1s"), relay)
    await relay.stop()


@beside_omfwd
@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_at_the_rate_of_an_audit_log_ours_loses_no_more_than_omfwd(race: Race) -> None:
    async with race.delivery.running():
        feeding = asyncio.ensure_future(race.give_at(100))
        await race.ordeal.kill_often(at_least=500)  # more than the outage left waiting
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        missing = await race.finish(f"100 events/s, {KILLS} kills")
    assert missing["persona"] <= missing["omfwd"]


@beside_omfwd
@pytest.mark.parametrize("transport", ["tcp", "tls"])
async def test_at_full_speed_ours_loses_less_than_omfwd(race: Race) -> None:
    """Both send a backlog as fast as they can; each is in the midst of its own at every other kill."""
    ordeal = race.ordeal
    ordeal.receiver.kill()
    async with race.delivery.running():
        for _ in range(KILLS):
            await race.give_until_omfwd_has_to_send(BACKLOG)
            for whose in ("omfwd", "persona"):
                await ordeal.rise()
                await ordeal.strike(whose, at_least=500, within=0.1)
                assert max(ordeal.marks.seen[whose]) < race.delivery.made, f"{whose} was through: this shows nothing"
        await ordeal.rise()
        missing = await race.finish(f"full speed, {KILLS} kills in the midst of either")
    assert missing["persona"] < missing["omfwd"]


async def _nothing_more_comes(marks: Marks, seconds: float = 4) -> None:
    """Wait until the receiver's file has not grown for so long: whatever the relay still held is through."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < seconds:
        now = sum(counter.total() for counter in marks.look().values())
        if now != size:
            size, since = now, time.monotonic()
        await asyncio.sleep(0.1)
