"""The syslog sink over RELP and RELP over TLS, against a strict receiver of ours that can misbehave."""

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.sinks.syslog.relp import RelpSession, Unfinished
from forwarder.sinks.syslog.relp_frames import LAST_TRANSACTION
from tests.sinks.contract import REFUSED_MARK, SinkContract, make_items, until
from tests.sinks.relp_receiver import RelpReceiver
from tests.sinks.syslog_receiver import listening, make_sink


class TestSyslogOverRelp(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1
    takes_more_after_a_refusal = True

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[RelpReceiver]:  # type: ignore[override] # a Destination
        async with listening(RelpReceiver(tmp_path)) as receiver:
            yield receiver


class TestSyslogOverRelpWithTls(SinkContract):
    kind = "syslog"
    sockets_of_the_peer = 1
    takes_more_after_a_refusal = True

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[RelpReceiver]:  # type: ignore[override] # a Destination
        async with listening(RelpReceiver(tmp_path, tls=True)) as receiver:
            yield receiver


@pytest_asyncio.fixture(params=["relp", "relp+tls"])
async def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RelpReceiver]:
    """Run a receiver, once without TLS and once with it."""
    async with listening(RelpReceiver(tmp_path, tls=request.param == "relp+tls")) as receiver:
        yield receiver


@pytest_asyncio.fixture
async def plain(tmp_path: Path) -> AsyncIterator[RelpReceiver]:
    """Run a receiver without TLS."""
    async with listening(RelpReceiver(tmp_path)) as receiver:
        yield receiver


def seqs(receiver: RelpReceiver) -> list[int]:
    """Sequence numbers of what it took, in its order."""
    return [int(dict(message.data["persona@32473"])["seq"]) for message in receiver.messages]


async def test_never_more_than_a_window_waits_for_its_acknowledgement(receiver: RelpReceiver) -> None:
    sink = make_sink(receiver, timeout=30)
    await sink.open()
    await receiver.stall()
    send = asyncio.ensure_future(sink.send(make_items(300)))
    await until(lambda: receiver.most_waiting >= 128, 10)
    await asyncio.wait({send}, timeout=0.2)
    assert (receiver.most_waiting, send.done()) == (128, False)
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)
    await sink.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="the kernel cannot be told to acknowledge at once")
async def test_a_receiver_that_gathers_its_answers_does_not_wait_for_our_kernel(receiver: RelpReceiver) -> None:
    """Each window would cost 40 ms, the time of a delayed acknowledgement."""
    receiver.gathers_answers = True
    sink = make_sink(receiver, timeout=30)
    await sink.open()
    batches = [make_items(20) for _ in range(20)]
    began = asyncio.get_running_loop().time()
    for batch in batches:
        await sink.send(batch)
    assert asyncio.get_running_loop().time() - began < 20 * 0.02
    await sink.close()


async def test_a_session_ends_with_close(receiver: RelpReceiver) -> None:
    sink = make_sink(receiver)
    await sink.open()
    await sink.send(make_items(3))
    await sink.close()
    assert receiver.closed_well == 1


async def test_what_a_broken_session_acknowledged_is_not_sent_again(receiver: RelpReceiver) -> None:
    """The rest is; so at most the unacknowledged part of the window repeats."""
    sink = make_sink(receiver)
    receiver.window_to_break, receiver.silent = 50, 20
    items = make_items(100)
    await sink.open()
    with pytest.raises(Retryable) as raised:
        await sink.send(items)
    assert (raised.value.accepted, raised.value.unanswered, raised.value.kind) == (30, True, "connection")
    receiver.window_to_break = None
    await sink.close()
    await sink.open()
    await sink.send(items[30:])
    await sink.close()
    assert seqs(receiver) == [*range(1, 51), *range(31, 101)]


async def test_an_event_that_is_refused_is_named_and_its_neighbours_do_not_repeat(receiver: RelpReceiver) -> None:
    """Those of the same window that came after it are in, and are known to be."""
    await receiver.refuse(REFUSED_MARK.encode())
    items = [*make_items(4), *make_items(1, first=5, text=REFUSED_MARK), *make_items(195, first=6)]
    sink = make_sink(receiver)
    await sink.open()
    with pytest.raises(Refused, match="the receiver answered 500 not this one") as raised:
        await sink.send(items)
    assert raised.value.at == 4
    await sink.close()
    await sink.open()
    await sink.send(items[5:])
    await sink.close()
    assert seqs(receiver) == [1, 2, 3, 4, *range(6, 201)]


async def test_two_that_are_refused_in_one_window_are_named_one_after_the_other(plain: RelpReceiver) -> None:
    await plain.refuse(REFUSED_MARK.encode())
    items = [make_items(1, first=n, text=REFUSED_MARK if n in (3, 7) else "fine")[0] for n in range(1, 11)]
    sink = make_sink(plain)
    await sink.open()
    for rest, at in ((0, 2), (3, 3)):
        with pytest.raises(Refused) as raised:
            await sink.send(items[rest:])
        assert raised.value.at == at
    await sink.send(items[7:])
    await sink.close()
    assert seqs(plain) == [1, 2, 4, 5, 6, 8, 9, 10]


async def test_a_session_that_the_receiver_closed_is_noticed_before_anything_is_written(plain: RelpReceiver) -> None:
    """The hint comes before the connection ends."""
    sink = make_sink(plain)
    await sink.open()
    await plain.say(b"0 serverclose 0\n")
    session = sink._line
    assert isinstance(session, RelpSession)
    await until(lambda: bool(session._over), 10)
    with pytest.raises(Retryable, match="closed the session") as raised:
        await sink.send(make_items(1))
    assert not raised.value.unanswered
    await sink.close()
    assert plain.messages == []


async def test_other_hints_are_nothing_to_answer(plain: RelpReceiver) -> None:
    sink = make_sink(plain)
    await sink.open()
    await plain.say(b"0 weather 5 sunny\n")
    await sink.send(make_items(1))
    await sink.close()
    assert seqs(plain) == [1]


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        (b"500 go away", "opens no RELP session: 500 go away"),
        (b"200 OK", "accepts no version"),
        (b"200 OK\nrelp_version=1\ncommands=eventlog", "takes no syslog messages"),
    ],
)
async def test_a_receiver_that_wants_no_such_session_is_the_operators_to_mend(
    plain: RelpReceiver, offers: bytes, says: str
) -> None:
    plain.offers = offers
    sink = make_sink(plain)
    with pytest.raises(Misconfigured, match=says):
        await sink.open()
    await sink.close()


async def test_a_peer_that_speaks_something_else_is_the_operators_to_mend() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    session = RelpSession()
    await session.connect("127.0.0.1", server.sockets[0].getsockname()[1])
    with pytest.raises(Misconfigured, match="does not speak RELP"):
        await session.open()
    await session.close()
    server.close()
    await server.wait_closed()


async def test_a_client_certificate_is_shown_where_it_is_demanded(tmp_path: Path) -> None:
    receiver = RelpReceiver(tmp_path, tls=True)
    receiver.authority.configure_trust(receiver.context)
    receiver.context.verify_mode = ssl.CERT_REQUIRED
    await receiver.start()
    ours = tmp_path / "ours.pem"
    receiver.authority.issue_cert("forwarder.test").private_key_and_cert_chain_pem.write_to_path(str(ours))
    sink = make_sink(receiver, tls_cert_file=ours)
    await sink.open()
    await sink.send(make_items(3))
    await sink.close()
    without = make_sink(receiver)
    with pytest.raises((Retryable, Misconfigured)):
        await without.open()
    await without.close()
    await receiver.aclose()
    assert len(receiver.messages) == 3


async def test_transaction_numbers_begin_again_at_one(plain: RelpReceiver) -> None:
    session = RelpSession(window=4)
    await session.connect("127.0.0.1", plain.port)
    await session.open()
    session._transaction = LAST_TRANSACTION - 2
    await session.send([b"<13>1 - - - - - - x"] * 5)
    assert plain.transactions == [LAST_TRANSACTION - 1, LAST_TRANSACTION, 1, 2, 3]
    await session.close()


# Whatever the peer says


@contextlib.asynccontextmanager
async def a_peer_that_says(*pieces: bytes) -> AsyncIterator[int]:
    """Answer `open` well, then say *pieces*, whatever is sent, and hang up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(200)
            writer.write(b"1 rsp 46 200 OK\nrelp_version=1\ncommands=syslog,eventlog\n")
            await reader.read(1)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "words",
    [
        b"2 rsp 6 200 OK\n" * 2,
        b"77 rsp 6 200 OK\n",
        b"2 syslog 1 x\n",
        b"2 rsp 99999999 200 OK\n",
        b"2 rsp 3 abc\n",
        b"2 rsp 6 200 OKxx\n",
        b"2 rsp 0\n",
        b"\x00\xff" * 100,
        b"",
    ],
)
async def test_an_answer_that_cannot_be_ends_the_session_and_loses_nothing(words: bytes) -> None:
    """What was acknowledged before it is known to be, the rest is sent again."""
    async with a_peer_that_says(words) as port:
        session = RelpSession()
        await session.connect("127.0.0.1", port)
        await session.open()
        with pytest.raises(Unfinished) as raised:
            await session.send([b"<13>1 - - - - - - x"] * 3)
        assert raised.value.acknowledged <= {0}
        assert isinstance(raised.value.failure, Retryable)
        assert raised.value.failure.unanswered
        await session.close()


ANSWERS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda number, code, text: b"%d rsp %d %d%s\n" % (number, 3 + len(text), code, text),
            st.integers(0, 6),
            st.sampled_from([200, 200, 200, 500, 999]),
            st.sampled_from([b"", b" OK", b" no\nmore"]),
        ),
        st.sampled_from([b"0 serverclose 0\n", b"0 hint 0\n", b"2 rsp 6 200 ", b"OK\n"]),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=60)
@given(pieces=ANSWERS, seed=st.integers(0, 1000))
def test_fuzzed_answers_neither_hang_nor_crash_it_nor_acknowledge_what_was_not(pieces: list[bytes], seed: int) -> None:
    """However they are cut into segments."""

    async def scenario() -> None:
        words, cuts = b"".join(pieces), random.Random(seed)
        cut = sorted(cuts.randrange(len(words) + 1) for _ in range(3))
        segments = [words[a:b] for a, b in zip([0, *cut], [*cut, len(words)], strict=True)]
        async with asyncio.timeout(20), a_peer_that_says(*segments) as port:
            session = RelpSession()
            await session.connect("127.0.0.1", port)
            await session.open()
            try:
                await session.send([b"<13>1 - - - - - - x"] * 4)
            except Unfinished as unfinished:
                acknowledged = unfinished.acknowledged
            else:
                acknowledged = {0, 1, 2, 3}
            for place in acknowledged:
                assert b"%d rsp " % (place + 2) in words
                assert b" 200" in words
            await session.close()

    asyncio.run(scenario())


async def test_a_window_of_big_messages_is_bounded_in_bytes(plain: RelpReceiver) -> None:
    """128 messages of a megabyte would be much to hold for one that does not read."""
    await plain.stall()
    session = RelpSession()
    await session.connect("127.0.0.1", plain.port)
    await session.open()
    message = b"<13>1 - - - - - - " + b"x" * (1 << 20)
    send = asyncio.ensure_future(session.send([message] * 20))
    await until(lambda: plain.most_waiting >= 4, 10)
    await asyncio.wait({send}, timeout=0.2)
    assert plain.most_waiting <= 5
    send.cancel()
    await asyncio.gather(send, return_exceptions=True)
    await session.close()


async def test_closing_does_not_wait_for_one_that_does_not_say_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forwarder.sinks.syslog.relp._FAREWELL", 0.05)
    monkeypatch.setattr("forwarder.sinks.syslog.wire._FAREWELL", 0.05)
    heard: list[bytes] = []

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(200)
        writer.write(b"1 rsp 46 200 OK\nrelp_version=1\ncommands=syslog,eventlog\n")
        while said := await reader.read(100):
            heard.append(said)
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    session = RelpSession()
    await session.connect("127.0.0.1", server.sockets[0].getsockname()[1])
    await session.open()
    await session.close()
    await until(lambda: heard == [b"2 close 0\n"], 10)
    server.close()
    await server.wait_closed()


async def test_nobody_there_is_waited_for() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        session = RelpSession()
        with pytest.raises(OSError, match="Connect call failed"):
            await session.connect("127.0.0.1", port)
        await session.abort()
