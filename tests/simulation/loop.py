"""An event loop whose time is simulated, and in which a process can die between any two steps.

Nothing here waits: when nothing is ready, time jumps to the next timer. What runs belongs to a :class:`Process`, known
by a context variable that every task and callback inherits; a dead process's callbacks never run again, not even its
``finally`` blocks, as after SIGKILL. Work for threads runs in the loop itself, a step of its own, so that two runs of
one seed are the same.
"""

import asyncio
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(Exception):
    """Nothing is ready and no timer will ever make anything ready."""


class Exhausted(Exception):
    """More steps were taken than a world is worth: something is busy without end."""


class Process:
    """Somebody who runs in the loop, and can be killed.

    :ivar steps: callbacks that it has run
    :ivar die_at: at this step it dies instead; None lets it live
    """

    def __init__(self, name: str, on_death: Callable[[], None]) -> None:
        self.name = name
        self.dead = False
        self.steps = 0
        self.die_at: int | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._on_death = on_death

    def kill(self) -> None:
        """Let it run nothing any more. Twice is fine."""
        if not self.dead:
            self.dead = True
            self._on_death()

    def context(self) -> Context:
        """A context whose tasks and callbacks are this process's."""
        context = copy_context()
        context.run(_current.set, self)
        return context

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Its tasks that have not ended."""
        return [task for task in self.tasks if not task.done()]


_current: ContextVar[Process | None] = ContextVar("process", default=None)


def current_process() -> Process | None:
    """Whose step this is; None for the world's own."""
    return _current.get()


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs callbacks in order under simulated time.

    :param network: answers ``create_connection``, ``create_server`` and ``sock_connect``
    :param most_steps: an :class:`Exhausted` ends a world that takes more
    """

    # The base class's own, of which its types say nothing.
    _ready: deque[events.Handle]
    _scheduled: list[tuple[float, int, events.TimerHandle]]

    def __init__(self, network: Any, *, most_steps: int) -> None:
        super().__init__()
        self.network = network
        self.steps = 0
        self._most_steps = most_steps
        self._now = 1000.0
        self._numbers = itertools.count()
        self._busy_until: dict[Any, float] = {}
        self.thread_delay: Callable[[], float] = lambda: 0.0
        """Seconds that the next work for a thread takes."""
        self.set_task_factory(_create_task)  # type: ignore[arg-type] # typeshed spells the options out

    def time(self) -> float:
        """Simulated seconds."""
        return self._now

    # What BaseEventLoop leaves to its subclasses

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0][2].cancelled():
            heapq.heappop(scheduled)
        if not ready:
            if not scheduled:
                raise Deadlock
            self._now = max(self._now, scheduled[0][0])
        while scheduled and scheduled[0][0] <= self._now:
            ready.append(heapq.heappop(scheduled)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                self._step(handle)

    def _step(self, handle: Any) -> None:
        process = handle._context.get(_current)
        if process is not None:
            if process.dead:
                return
            process.steps += 1
            if process.die_at is not None and process.steps >= process.die_at:
                process.kill()
                return
        self.steps += 1
        if self.steps > self._most_steps:
            raise Exhausted
        handle._run()

    def call_at(  # type: ignore[override] # typeshed types the callback's arguments
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        """As the base class; timers of one instant fire in the order in which they were set."""
        handle = events.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, (when, next(self._numbers), handle))
        return handle

    def _write_to_self(self) -> None:
        """Nothing to wake: there are no threads."""

    def call_soon_threadsafe(  # type: ignore[override] # as call_at
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> events.Handle:
        """There are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override] # as call_at
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Do the work of a thread as a later step; one executor's works keep their order."""
        future: asyncio.Future[T] = self.create_future()
        when = max(self._busy_until.get(executor, 0.0), self._now + self.thread_delay())
        self._busy_until[executor] = when
        self.call_at(when, _work, future, func, args)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 # the base class's
        """There is none."""

    # The network's part

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """Every name is an address of its own."""
        found: list[Any] = self.network.resolve(host, port)
        return found

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Reach *address*; the connection itself is made by :meth:`create_connection`."""
        await self.network.dial(sock, address)

    async def create_connection(
        self,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        sock: Any = None,
        ssl: Any = None,
        server_hostname: str | None = None,
        **_: Any,
    ) -> tuple[Any, Any]:
        """Connect within the simulated network, and shake hands where TLS is wanted."""
        transport, protocol = await self.network.connect(protocol_factory if ssl is None else _Idle, host, port, sock)
        if ssl is None:
            return transport, protocol
        inner = protocol_factory()
        try:
            encrypted = await self.start_tls(transport, inner, ssl, server_hostname=server_hostname)
        except BaseException:
            transport.abort()
            raise
        inner.connection_made(encrypted)
        return encrypted, inner

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Listen within the simulated network."""
        return self.network.listen(protocol_factory, host, port)


class _Idle(asyncio.Protocol):
    """Holds a connection until TLS does."""


def _create_task(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **options: Any) -> "asyncio.Task[T]":
    task = asyncio.Task(coro, loop=loop, **options)
    context = options.get("context")
    process = _current.get() if context is None else context.get(_current)
    if process is not None:
        if len(process.tasks) > 256:
            process.tasks = process.unfinished()
        process.tasks.append(task)
    return task


def _work(future: "asyncio.Future[T]", func: Callable[..., T], args: tuple[Any, ...]) -> None:
    process = _current.get()
    try:
        result = func(*args)
    except Exception as error:  # noqa: BLE001 # handed to whoever waits for the work
        if not (process is not None and process.dead) and not future.done():
            future.set_exception(error)
    else:
        if not (process is not None and process.dead) and not future.done():
            future.set_result(result)
