"""A world as it runs: Persona, the network, the disk, the destinations, and the daemon's lives, one after the other."""

import asyncio
import json
import os
import ssl
from contextvars import copy_context
from pathlib import Path
from random import Random
from typing import Any, Literal
from unittest.mock import patch

import aiohttp
import structlog

from forwarder import sinks
from forwarder.clock import SECOND
from forwarder.simulator import Behaviour, SimulatedPersona, World
from tests.peers.hec import TOKEN
from tests.simulation.acts import KEYS, calm, happen
from tests.simulation.chronicle import Chronicle, Claim, Made, Requests
from tests.simulation.destination import Destination, WorldSink
from tests.simulation.disk import Disk
from tests.simulation.drawing.surroundings import ODD_IDS
from tests.simulation.life import Life, OurClock, begin, configure_logs, variables
from tests.simulation.loop import Deadlock, Exhausted, SimulatedLoop, current_process
from tests.simulation.network import Network
from tests.simulation.plan import Plan, SinkPlan
from tests.simulation.splunk import Splunk
from tests.simulation.storage import Storage
from tests.simulation.way import CREDENTIALS, PROXY, Way

BEGINNING = 1000.0
"""The loop's time at which a world begins."""

EPOCH = 1_772_438_400 * SECOND
"""2026-03-02T08:00:00Z, a Monday, is second 0 of every loop."""

PERSONA = ("127.0.0.1", 8443)
ADMIN = ("127.0.0.1", 8080)
SPLUNK = ("127.0.0.1", 8088)

HIDDEN = "Überprüfung".encode()
"""What stands in the place that is redacted, and nowhere else; it must never be on the disk."""

MOST_STEPS = 3_000_000
MOST_LIVES = 60

AGAIN_SECONDS, AGAIN_AT_MOST = 2.0, 60.0
"""A daemon that has ended is started again so much later, twice as much after each that failed, as a cluster does."""

REST_POLLS = 12
"""So many poll intervals long it is watched at rest."""

PATIENCE = 4 * 3600.0
"""Seconds after the last fault within which it has to come to rest."""


class Stage:
    """Plays one :class:`Plan`. Everything here is the world's own, and outlives each daemon.

    The attributes are what :mod:`~tests.simulation.acts` changes and what the oracle looks at.
    """

    def __init__(self, plan: Plan, folder: Path, *, verbose: bool = False) -> None:
        self.plan = plan
        self.random = Random(f"stage {plan.seed}")
        self.network = Network()
        self.loop = SimulatedLoop(self.network, most_steps=MOST_STEPS)
        self.clock = OurClock(self.loop, EPOCH)
        self.persona_clock = OurClock(self.loop, EPOCH)
        self.persona_clock.offset = plan.skew
        self.lives: list[Life] = []
        self.chronicle = Chronicle(self.loop.time, lambda: len(self.lives) - 1, folder=str(folder), verbose=verbose)
        self.state = folder / "state"
        self.state.mkdir()
        self.disk = Disk(self.state, seed=plan.seed)
        self.disk.on_death = self._lose_disk
        self.key = KEYS[0]
        """The key that Persona takes, its bad moments aside; an older one is never taken again."""
        self.key_file = folder / "key"
        self.key_file.write_text(KEYS[0])
        self.key_is_broken = False
        """Whether the file holds what is no key, or nothing; a life that begins with nothing in it ends at once."""
        self.way = Way(plan.way, self.network, PERSONA, folder)
        self.persona_address = self.way.persona
        # The configuration of the next life.
        self.sinks = {sink.name: sink for sink in plan.sinks}
        self.configured = [*self.sinks]
        self.excludes = {sink.name: {sink.exclude} - {""} for sink in plan.sinks}
        self.page_size = plan.page_size
        self.mistake: dict[str, str] = {}
        """What the operator gets wrong in it, and mends for the one after."""
        # What happens next to a life.
        self.crash_kind: Literal["process", "power"] = "process"
        self.restart_after = 0.0
        self.delayed = 0.0
        self.looking: list[asyncio.Task[Any]] = []
        # What the oracle wants to know.
        self.destinations = {sink.name: self._destination(sink) for sink in plan.sinks}
        self.known_since: dict[str, float] = {}
        self.mistaken: set[int] = set()
        self.quiet_steps = self.quiet_requests = 0
        self.quiet_seconds = 0.0
        self._own = copy_context()
        self._ending = False
        self.storage: Storage = Storage(self, folder)

    @property
    def life(self) -> Life:
        """The newest life of the daemon."""
        return self.lives[-1]

    def play(self) -> None:
        """Run the whole plan, the quiet after it, and the last stop."""
        WorldSink.destinations = self.destinations
        # As an installed package's entry point would; looking through all packages at each start takes longer.
        sinks._BUILT_IN["world"] = "tests.simulation.destination:WorldSink"
        configure_logs(self.chronicle.line)
        random, plan = self.random, self.plan
        self.loop.thread_delay = lambda: random.random() * plan.thread_delay
        self.network.latency = lambda: plan.latency * (0.5 + random.random())
        self.network.listen_in = self._listen_in
        self.disk.watch(HIDDEN)
        asyncio.set_event_loop(self.loop)
        try:
            # Nobody here has a certificate of theirs, and reading them takes a twentieth of a world's time.
            trusted = patch.object(ssl.SSLContext, "load_default_certs")
            with self.disk, trusted, patch.dict(os.environ):
                self.loop.run_until_complete(self._all())
        except Deadlock:
            self.chronicle.troubles.append("deadlock: nothing is ready, and no timer will make anything ready")
        except Exhausted:
            self.chronicle.troubles.append(f"busy without end: {self.loop.steps} steps, {len(self.lives)} lives")
        finally:
            asyncio.set_event_loop(None)
            structlog.reset_defaults()

    async def _all(self) -> None:
        await self._open_persona()
        splunks = [one for one in self.destinations.values() if isinstance(one, Splunk)]
        for splunk in splunks:
            await splunk.start()
        keeper = asyncio.create_task(self._keep_alive())
        for happening in self.plan.happenings:
            await self._until(happening.at)
            self.chronicle.note("happening", str(happening))
            happen(self, happening)
        await self._until(self.plan.duration)
        self.chronicle.note("calm", "")
        calm(self)
        if await self._comes_to_rest():
            await self._rest()
        await self._end(keeper)
        await asyncio.gather(*self.looking)
        for splunk in splunks:
            await splunk.stop()
        await self.persona.close()

    def _destination(self, plan: SinkPlan) -> Destination:
        return Splunk(plan, network=self.network, address=SPLUNK) if plan.kind == "splunk_hec" else Destination(plan)

    async def _open_persona(self) -> None:
        plan = self.plan
        self.world = World(
            seed=plan.seed,
            records=plan.history,
            days=plan.history_days,
            odd=plan.odd,
            odd_ids=dict(enumerate(ODD_IDS)) if plan.odd_ids else None,
            employees=plan.employees,
            clock=self.persona_clock,
        )
        for index, id_ in enumerate(self.world.ids()):
            self.chronicle.made[id_] = Made(index, BEGINNING, BEGINNING, self.world.created_at(index))
        behaviour = Behaviour(lost_cursor=plan.lost_cursor, included=plan.included, links=plan.links, end=plan.end)
        self.persona = SimulatedPersona(
            self.world, behaviour=behaviour, api_keys=(KEYS[0],), limit=plan.limit, port=PERSONA[1], oversize=200_000
        )
        self.persona.stats = Requests(self.chronicle.request)
        await self.persona.start()
        await self.way.open()

    # The daemon's lives

    async def _keep_alive(self) -> None:
        """Start the daemon again whenever it has ended."""
        failures = 0
        while not self._ending:
            if len(self.lives) >= MOST_LIVES:
                raise Exhausted
            life = self._start()
            await life.ended.wait()
            self._bury(life)
            self.storage.ended()
            failures = failures + 1 if life.exit_status else 0
            again = min(AGAIN_SECONDS * 2**failures, AGAIN_AT_MOST)
            pause, self.restart_after = self.restart_after or again, 0.0
            await asyncio.sleep(pause)

    def _start(self) -> Life:
        number = len(self.lives)
        configuration = variables(
            self.plan,
            [self.sinks[name] for name in self.configured],
            page_size=self.page_size,
            persona=PERSONA,
            admin=ADMIN,
            splunk=SPLUNK,
            key_file=self.key_file,
            journal=self.state / "forwarder.db",
        )
        configuration |= self.way.variables()
        self.way.enter(os.environ)
        if self.mistake or (self.key_is_broken and not self.key_file.read_text().strip()):
            self.mistaken.add(number)
            configuration |= self.mistake
            self.mistake = {}
        life = begin(self.loop, number, configuration, clock=self.clock, seed=self.plan.seed, on_death=self._died)
        self.lives.append(life)
        for name in self.configured:
            self.destinations[name].life = number
            if number not in self.mistaken:  # which ends before it opens the journal
                self.known_since.setdefault(name, self.loop.time())
        self.chronicle.note("life", f"{number} begins")
        self.storage.began(number)
        return life

    def _lose_disk(self) -> None:
        """The disk died in the middle of an operation, and its process with it."""
        self.life.process.kill()

    def _died(self, life: Life) -> None:
        self.network.drop(life.process)
        # Not here, where SQLite may be in the middle of a call: once its stack is unwound.
        self.loop.call_soon(self._lay_out, life, context=self._own)

    def _lay_out(self, life: Life) -> None:
        self.storage.mend()  # what another program held is let go of with all else
        self.disk.crash(self.crash_kind, self.random)
        life.ended.set()

    def _bury(self, life: Life) -> None:
        self.chronicle.note(
            "life", f"{life.number} ended: {'killed' if life.crashed else life.exit_status} {life.reason}"
        )
        if life.crashed:
            return
        if left := [task.get_name() for task in life.process.unfinished()]:
            self.chronicle.leaks.append(f"life {life.number} left tasks: {', '.join(left[:5])}")
        if ends := self.network.open_ends(life.process):
            self.chronicle.leaks.append(f"life {life.number} left {ends} connections open")

    # The operator

    async def look(self) -> dict[str, Any] | None:
        """Read ``/status``; None if nobody answers."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=8)) as session,
                session.get(f"http://{ADMIN[0]}:{ADMIN[1]}/status") as answer,
            ):
                if answer.status != 200:
                    return None  # a failing disk cannot be read for it
                status: dict[str, Any] = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        for source in status.get("sources", ()):
            claim = Claim(self.loop.time(), self.clock.now(), source["complete_from"], source["complete_until"])
            self.chronicle.claims.append(claim)
        return status

    # The end

    async def _comes_to_rest(self) -> bool:
        """Wait until the daemon itself says that it has all, and nothing left to deliver."""
        while self.life.ended.is_set():  # noqa: ASYNC110 # the next life has another event
            await asyncio.sleep(1.0)
        since = self.persona_clock.now()
        deadline = self.loop.time() + PATIENCE
        await asyncio.sleep(self.plan.lookback + self.plan.sweep_interval)
        while self.loop.time() < deadline:
            status = await self.look()
            if status is not None and status["sources"] and self.chronicle.claims[-1].reaches(since):
                behind = [one for one in status["sinks"] if one["backlog_events"] and one["name"] in self.configured]
                if not behind:
                    return True
            await asyncio.sleep(max(self.plan.poll_interval * 3, 30.0))
        self.chronicle.troubles.append(f"{PATIENCE / 3600:.0f} hours after the faults it has not come to rest")
        return False

    async def _rest(self) -> None:
        """See what it does when there is nothing to do."""
        steps, requests, began = self.life.process.steps, len(self.chronicle.asked), self.loop.time()
        await asyncio.sleep(REST_POLLS * self.plan.poll_interval)
        self.quiet_seconds = self.loop.time() - began
        self.quiet_steps = self.life.process.steps - steps
        self.quiet_requests = len(self.chronicle.asked) - requests
        await self.look()

    async def _end(self, keeper: "asyncio.Task[None]") -> None:
        self._ending = True
        life = self.life
        life.stop()
        try:
            async with asyncio.timeout(120):
                await life.ended.wait()
        except TimeoutError:
            self.chronicle.troubles.append("it did not stop within 120 s of being asked to")
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        self._bury(life)

    # Inside

    def _listen_in(self, where: tuple[str, int], data: bytes) -> None:
        if current_process() is None:
            return  # Persona may repeat a key in what it says
        if where != PERSONA and any(key.encode() in data for key in KEYS):
            self.chronicle.troubles.append(f"the API key was sent to {where[0]}:{where[1]}")
        if where != PROXY and CREDENTIALS in data:
            self.chronicle.troubles.append(f"the proxy's password was sent to {where[0]}:{where[1]}")
        if where != SPLUNK and TOKEN.encode() in data:
            self.chronicle.troubles.append(f"the token was sent to {where[0]}:{where[1]}")

    async def _until(self, at: float) -> None:
        """Wait for a moment of the plan; a long outage delays all that comes after it."""
        while (left := BEGINNING + at + self.delayed - self.loop.time()) > 0:  # noqa: ASYNC110 # it may be delayed anew
            await asyncio.sleep(left)
