"""What a world stands on: a loop without waiting, processes that die at once, and a network inside it."""

import asyncio
import inspect
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.loop import Deadlock, Exhausted, Process, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.way import CREDENTIALS, HOST, PROXY, Way


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    """A loop over an empty network."""
    made = SimulatedLoop(Network(), most_steps=10_000)
    yield made
    made._most_steps *= 2
    made.run_until_complete(_end_all())
    made.close()


async def _end_all() -> None:
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not _is_at_rest(task)]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def start(loop: SimulatedLoop, main: Callable[[], Coroutine[Any, Any, None]]) -> Process:
    """Run *main* as a process of its own."""
    process = Process("child", lambda: None)
    process.context().run(loop.create_task, main())
    return process


def lay_to_rest(process: Process) -> None:
    """Tear down what the dead have left: a test's own process lives on, as a world's does not."""
    for task in process.unfinished():
        task.get_coro().close()
        task._log_destroy_pending = False  # type: ignore[attr-defined] # asyncio's own, of which its types say nothing


def _is_at_rest(task: "asyncio.Task[Any]") -> bool:
    coroutine: Any = task.get_coro()
    return inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_day_passes_at_once(loop: SimulatedLoop) -> None:
    began = loop.time()
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == began + 86_400
    assert loop.steps < 10


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set(loop: SimulatedLoop) -> None:
    fired: list[int] = []
    for number in range(50):
        loop.call_at(loop.time() + 1, fired.append, number)
    loop.run_until_complete(asyncio.sleep(2))
    assert fired == list(range(50))


def test_the_dead_run_nothing_more_not_even_their_last_words(loop: SimulatedLoop) -> None:
    said: list[str] = []

    async def main() -> None:
        try:
            while True:
                said.append("alive")
                await asyncio.sleep(1)
        finally:
            said.append("last words")

    process = start(loop, main)
    process.die_at = 5
    loop.run_until_complete(asyncio.sleep(10))
    assert process.dead
    assert said == ["alive", "alive"]
    assert len(process.unfinished()) == 1
    lay_to_rest(process)


def test_what_can_never_go_on_is_found_out(loop: SimulatedLoop) -> None:
    waiting = loop.create_future()
    with pytest.raises(Deadlock):
        loop.run_until_complete(waiting)
    waiting.cancel()


def test_who_is_busy_without_end_is_found_out(loop: SimulatedLoop) -> None:
    async def busy() -> None:
        while True:  # noqa: ASYNC110 # that is what it is about
            await asyncio.sleep(0)

    task = loop.create_task(busy())
    with pytest.raises(Exhausted):
        loop.run_until_complete(task)


def test_work_for_threads_keeps_its_order_however_long_each_takes(loop: SimulatedLoop) -> None:
    delays = iter((5.0, 0.0, 3.0))
    loop.thread_delay = lambda: next(delays)
    done: list[int] = []

    async def main() -> None:
        await asyncio.gather(*(asyncio.to_thread(done.append, number) for number in range(3)))

    loop.run_until_complete(main())
    assert done == [0, 1, 2]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line.upper())
    writer.close()


def test_bytes_arrive_in_order_and_a_close_after_them(loop: SimulatedLoop) -> None:
    async def main() -> bytes:
        await asyncio.start_server(_echo, "127.0.0.1", 7)
        reader, writer = await asyncio.open_connection("127.0.0.1", 7)
        writer.writelines([b"a\n", b"b\n"])
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    assert loop.run_until_complete(main()) == b"A\nB\n"


def test_who_dies_leaves_a_reset_and_no_listener(loop: SimulatedLoop) -> None:
    async def serve() -> None:
        await asyncio.start_server(_echo, "127.0.0.1", 7)
        await asyncio.sleep(1000)

    async def main() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", 7)
        server.kill()
        loop.network.drop(server)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 7)

    server = start(loop, serve)
    loop.run_until_complete(asyncio.sleep(1))
    loop.run_until_complete(main())
    assert loop.network.open_ends(server) == 0
    lay_to_rest(server)


def test_tls_is_spoken_as_over_a_real_connection(loop: SimulatedLoop, tmp_path: Path) -> None:
    """With whom the anchors name, and with nobody else; a connection that is hung up on is reset at both ends."""
    way = Way("tls", loop.network, ("127.0.0.1", 7), tmp_path)

    async def main() -> None:
        await asyncio.start_server(_echo, "127.0.0.1", 7)
        await way.open()
        trusting = ssl.create_default_context(cafile=way.variables()["FORWARDER_PERSONA_TLS_CA_FILE"])
        reader, writer = await asyncio.open_connection(*HOST, ssl=trusting)
        writer.write(b"a\n")
        assert await reader.readline() == b"A\n"
        loop.network.hang_up(HOST)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        way.suffer("untrusted")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(*HOST, ssl=trusting)
        assert not way.overheard
        await asyncio.sleep(60)  # until everybody has taken leave

    loop.run_until_complete(main())


def test_a_proxy_opens_a_tunnel_for_its_password_alone(loop: SimulatedLoop, tmp_path: Path) -> None:
    way = Way("proxy-password", loop.network, ("127.0.0.1", 7), tmp_path)

    async def answer_to(request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*PROXY)
        writer.write(b"CONNECT persona.example:443 HTTP/1.1\r\n" + request + b"\r\n")
        line = await reader.readline()
        writer.close()
        await asyncio.sleep(60)  # until everybody has taken leave
        return line

    async def main() -> list[bytes]:
        await asyncio.start_server(_echo, "127.0.0.1", 7)
        await way.open()
        return [await answer_to(one) for one in (b"", b"Proxy-Authorization: " + CREDENTIALS + b"\r\n")]

    refused, opened = loop.run_until_complete(main())
    assert refused.startswith(b"HTTP/1.1 407 ")
    assert opened.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("weather", "error"), [("refused", ConnectionRefusedError), ("silent", TimeoutError)])
def test_a_host_can_be_out_of_reach(loop: SimulatedLoop, weather: Any, error: type[Exception]) -> None:
    async def main() -> None:
        await asyncio.start_server(_echo, "127.0.0.1", 7)
        loop.network.weather["127.0.0.1", 7] = weather
        with pytest.raises(error):
            async with asyncio.timeout(30):
                await asyncio.open_connection("127.0.0.1", 7)

    loop.run_until_complete(main())
