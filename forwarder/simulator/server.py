"""The stand-in for Persona over HTTP, on 127.0.0.1 and nowhere else."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from aiohttp import web

from forwarder.clock import SystemClock
from forwarder.pulse import Pulse
from forwarder.simulator.control import Control
from forwarder.simulator.endpoint import API_KEY, LIST_PATH, Behaviour, Endpoint
from forwarder.simulator.faults import Fault, Faults
from forwarder.simulator.rate import WINDOW, RateWindow
from forwarder.simulator.shape import LARGE, OF_PAGES
from forwarder.simulator.stats import Stats
from forwarder.simulator.wire import OVERSIZE, send
from forwarder.simulator.world import World

HOST = "127.0.0.1"
_TICK = 0.1


class SimulatedPersona:
    """Serves a :class:`~forwarder.simulator.world.World` as Persona would.

    ::

        async with SimulatedPersona(World(records=500), faults=["429:0.05"]) as persona:
            persona.url, persona.api_key

    :param faults: each a :class:`~forwarder.simulator.faults.Fault` or ``KIND:PROBABILITY``
    :param api_keys: the keys that are valid; the set may change while it runs
    :param limit: requests a window, all keys together
    :param window: seconds of the rate limit's window
    :param live_rate: records a second that are made while it runs
    :param port: 0 picks a free one
    :param oversize: bytes of a page that the faults of size make, beside the page itself
    """

    def __init__(
        self,
        world: World,
        *,
        faults: Iterable[Fault | str] = (),
        behaviour: Behaviour | None = None,
        api_keys: Iterable[str] = (API_KEY,),
        limit: int = 300,
        window: float = WINDOW,
        live_rate: float = 0.0,
        port: int = 0,
        oversize: int = OVERSIZE,
    ) -> None:
        self.world = world
        self.faults = Faults(faults, seed=world.seed)
        self.behaviour = behaviour or Behaviour()
        self.api_keys = set(api_keys)
        self.api_key = next(iter(api_keys), API_KEY)
        self.stats = Stats()
        self.live_rate = live_rate
        self._endpoint = Endpoint(
            world, api_keys=self.api_keys, rate=RateWindow(limit, window), behaviour=self.behaviour
        )
        self._port = port
        self._oversize = oversize
        self._time = SystemClock()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """What ``FORWARDER_PERSONA_BASE_URL`` must be."""
        return f"{self._endpoint.base}/api/v1"

    @property
    def control_url(self) -> str:
        """Where the controls are (:mod:`forwarder.simulator.control`)."""
        return f"{self._endpoint.base}/_control"

    async def start(self) -> None:
        """Bind and serve. Raises OSError if the port is taken."""
        self._stop, self._rate_set = asyncio.Event(), asyncio.Event()
        app = web.Application()
        app.add_routes(Control(self.world, self.faults, self.stats, self._set_rate).routes())
        app.router.add_get("/_elsewhere", self._elsewhere)
        app.router.add_get("/{path:.*}", self._serve, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        self._port = self._runner.addresses[0][1]
        self._endpoint.base = f"http://{HOST}:{self._port}"
        self._live = asyncio.create_task(self._make_records())

    async def close(self) -> None:
        """Stop serving; a stalled answer ends at once. Twice is fine."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._stop.set()
        self._rate_set.set()
        await self._live
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        pulse = Pulse(self._stop, self._time)
        if self.behaviour.latency:
            await pulse.wait(self.behaviour.latency)
        fault = self.faults.draw()
        answer = self._endpoint.answer(request.path, request.query, request.headers, self._time.monotonic(), fault)
        kind = self._met(request, fault)
        self.stats.request(self.world.clock.now(), answer.status, kind)
        return await send(request, answer, kind, pulse, oversize=self._oversize)

    @staticmethod
    def _met(request: web.Request, fault: Fault | None) -> str:
        """Name the fault that this request meets; some are none for some requests."""
        if fault is None:
            return ""
        if fault.kind in ("cursor-lost", "repeat") and "page[after]" not in request.query:
            return ""
        if fault.kind in OF_PAGES and request.path != LIST_PATH:
            return ""
        return "" if fault.kind in LARGE and request.query.get("page[size]") == "1" else fault.kind

    async def _elsewhere(self, _: web.Request) -> web.Response:
        self.stats.followed_redirects += 1
        return web.json_response({"data": [], "links": {"prev": None, "next": None}})

    def _set_rate(self, rate: float) -> None:
        self.live_rate = rate
        self._rate_set.set()

    async def _make_records(self) -> None:
        pulse = Pulse(self._stop, self._time)
        owed, before = 0.0, self._time.monotonic()
        while not await pulse.wait(_TICK):
            if not self.live_rate:
                await self._until_rate_is_set()
                before = self._time.monotonic()
            now = self._time.monotonic()
            owed += self.live_rate * (now - before)
            before = now
            if owed >= 1:
                self.world.append(int(owed))
                owed -= int(owed)

    async def _until_rate_is_set(self) -> None:
        """Wait without looking again and again; the stop sets the rate, too."""
        self._rate_set.clear()
        await self._rate_set.wait()
