"""The Splunk sink against a collector that does as Splunk was measured to do, over real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pydantic
import pytest
import pytest_asyncio
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from forwarder.collect.lenient import loads
from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.formats import FORMATS
from forwarder.record import Origin, parse_event
from forwarder.secret import Secret
from forwarder.sinks.base import Item, SinkContext
from forwarder.sinks.splunk_hec import SplunkHecSettings, SplunkHecSink
from forwarder.sinks.splunk_hec.envelope import epoch_seconds, requests
from tests.peers.hec import TOKEN, HecServer, Scripted
from tests.sinks.contract import ODD, REFUSED_MARK, Destination, SinkContract, bodies, make_items

MAX_BODY_BYTES = 1 << 20


class HecDestination(Destination):
    """The collector as the shared contract sees it."""

    secrets = (TOKEN,)

    def __init__(self, server: HecServer) -> None:
        self.server = server

    def settings(self) -> dict[str, Any]:
        return {"url": self.server.url(), "token": Secret(TOKEN), "timeout": 2.0}

    async def arrived(self) -> list[bytes]:
        return [orjson.dumps(orjson.loads(text)["event"]) for text in self.server.texts]

    async def break_down(self) -> None:
        await self.server.stop()

    async def mend(self) -> None:
        self.server.silent = False
        self.server.indexer.refuse = lambda text: False
        if not self.server.running:
            await self.server.start()

    async def stall(self) -> None:
        self.server.silent = True

    async def refuse(self, mark: bytes) -> None:
        self.server.indexer.refuse = lambda text: mark.decode() in text


@pytest_asyncio.fixture
async def server() -> AsyncIterator[HecServer]:
    """Run a collector without TLS."""
    server = await HecServer().start()
    yield server
    await server.stop()


class TestSplunkHecSink(SinkContract):
    kind = "splunk_hec"
    sockets_of_the_peer = 1

    @pytest_asyncio.fixture
    async def destination(self, server: HecServer) -> HecDestination:  # type: ignore[override] # closed by `server`
        return HecDestination(server)


def make_sink(server: HecServer, **settings: Any) -> SplunkHecSink:
    """Make a sink for *server*."""
    chosen = {"url": server.url(), "token": Secret(TOKEN), "timeout": 5.0, **settings}
    return SplunkHecSink(SplunkHecSettings.model_validate(chosen), SinkContext("soc", "journal"))


@pytest_asyncio.fixture
async def sink(server: HecServer) -> AsyncIterator[SplunkHecSink]:
    """Open a sink for the collector."""
    sink = make_sink(server)
    await sink.open()
    yield sink
    await sink.close()


# What is sent


async def test_an_event_travels_with_its_time_and_its_names(server: HecServer, sink: SplunkHecSink) -> None:
    """The envelope says when, whose, what; the id is indexed, so that consumers can drop repetitions."""
    items = make_items(1)
    await sink.send(items)
    [envelope] = server.indexed
    assert {key: value for key, value in envelope.items() if key not in {"time", "event"}} == {
        "host": "org_1",
        "source": "persona",
        "sourcetype": "persona:user_audit_log",
        "fields": {"log_id": "ual_000001"},
    }
    assert server.texts[0].startswith('{"time":1772356502.331,')
    assert envelope["event"] == orjson.loads(items[0].body)


async def test_configured_names_win(server: HecServer) -> None:
    names = {"index": "audit", "source": "s", "sourcetype": "st", "host": "h"}
    sink = make_sink(server, **names)
    await sink.open()
    await sink.send(make_items(1))
    await sink.close()
    assert server.indexed[0].items() >= names.items()


async def test_a_format_that_is_no_json_travels_as_a_string(server: HecServer) -> None:
    sink = make_sink(server, format="cef")
    await sink.open()
    [item] = make_items(1)
    line = "CEF:0|a|b|é\\|" + ODD
    await sink.send([Item(item.seq, item.event, line.encode())])
    await sink.close()
    assert server.events() == [line]


@pytest.mark.parametrize(
    ("odd", "indexed"),
    [
        (b'"a\\ud800b"', "a\ufffdb"),
        (b'"\\u0000\\u001b\x7f"', "\x00\x1b\x7f"),
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"1" + b"0" * 30, 1e30),
        (b'"' + b"x" * 900_000 + b'"', "x" * 900_000),
    ],
)
async def test_whatever_persona_sends_arrives(
    server: HecServer, sink: SplunkHecSink, odd: bytes, indexed: object
) -> None:
    """From the bytes of Persona's answer to the index."""
    text = b'{"type":"user-audit-log","id":"ual_1","attributes":{"method":"POST","path":"/a","post-params":{"odd":%s}}}'
    event = parse_event(loads(text % odd), origin=Origin("persona", "org_1", "env_1"), collected_at=0)
    await sink.send([Item(1, event, FORMATS["json"](event))])
    [found] = server.events()
    assert found["request"]["post_params"] == {"odd": indexed}


@pytest.mark.parametrize("gzip", [True, False])
async def test_requests_are_compressed_unless_told_otherwise(server: HecServer, *, gzip: bool) -> None:
    sink = make_sink(server, gzip=gzip)
    await sink.open()
    await sink.send(make_items(50))
    await sink.close()
    assert len(server.indexed) == 50
    assert ("Content-Encoding" in server.seen[-1].headers) == gzip
    assert (int(server.seen[-1].headers["Content-Length"]) < len(server.seen[-1].body) // 3) == gzip


async def test_requests_say_who_sends_them(server: HecServer, sink: SplunkHecSink) -> None:
    """Splunk speaks HTTP/1.0, a connection a request, to clients without User-Agent; one connection is kept."""
    for start in range(1, 4):
        await sink.send(make_items(1, first=start))
    for seen in server.seen:
        assert seen.headers["User-Agent"].startswith("persona-siem-forwarder/")
        assert seen.headers["Authorization"] == f"Splunk {TOKEN}"
    assert {seen.path for seen in server.posts()} == {"/services/collector/event"}
    assert {seen.connection for seen in server.seen} == {0}


async def test_a_batch_that_is_too_large_for_one_request_is_divided(server: HecServer, sink: SplunkHecSink) -> None:
    """Envelopes and line ends are counted; order is kept."""
    items = make_items(40, size=100_000)
    await sink.send(items)
    assert len(server.posts()) == 4
    assert all(len(seen.body) <= MAX_BODY_BYTES for seen in server.posts())
    assert server.events() == [orjson.loads(body) for body in bodies(items)]


@example([MAX_BODY_BYTES // 2, MAX_BODY_BYTES // 2])  # with the line end between them, one byte too much
@given(st.lists(st.integers(1, MAX_BODY_BYTES + 10), max_size=12))
def test_dividing_loses_nothing_and_keeps_to_the_limit(sizes: list[int]) -> None:
    """Only an event that is larger alone makes a larger request."""
    envelopes = [bytes(size) for size in sizes]
    divided = list(requests(envelopes, MAX_BODY_BYTES))
    assert [one for request in divided for one in request] == envelopes
    assert all(len(b"\n".join(request)) <= MAX_BODY_BYTES or len(request) == 1 for request in divided)
    assert all(divided)


@given(st.integers(-(10**15), 10**16))
def test_time_is_exact_to_the_millisecond(micros: int) -> None:
    """No float comes between, also before 1970."""
    text = epoch_seconds(micros)
    assert abs(Decimal(text) * 1_000_000 - micros) < 1000
    assert len(text.partition(".")[2]) == 3
    assert orjson.loads(text) is not None


# What comes back


async def test_the_event_that_splunk_names_is_refused_and_the_ones_before_it_are_in(
    server: HecServer, sink: SplunkHecSink
) -> None:
    server.indexer.refuse = lambda text: REFUSED_MARK in text
    items = [*make_items(3), *make_items(1, first=4, text=REFUSED_MARK), *make_items(2, first=5)]
    with pytest.raises(Refused, match="code 6") as raised:
        await sink.send(items)
    assert raised.value.at == 3
    assert server.events() == [orjson.loads(body) for body in bodies(items[:3])]


async def test_the_place_counts_from_the_start_of_the_batch(server: HecServer, sink: SplunkHecSink) -> None:
    """Also when a later request of the batch holds the refused event."""
    server.indexer.refuse = lambda text: REFUSED_MARK in text
    items = [*make_items(15, size=100_000), *make_items(1, first=16, text=REFUSED_MARK), *make_items(2, first=17)]
    with pytest.raises(Refused) as raised:
        await sink.send(items)
    assert raised.value.at == 15
    assert len(server.indexed) == 15


async def test_a_body_that_cloud_takes_for_malformed_is_halved_not_refused(
    server: HecServer, sink: SplunkHecSink
) -> None:
    """Event 0 is good: the worker, told that the sink cannot say, halves the batch, and all of it goes in."""
    server.cloud_limit = 20_000
    items = make_items(4, size=8_000)
    with pytest.raises(Refused) as raised:
        await sink.send(items)
    assert raised.value.at is None
    assert server.indexed == []
    await sink.send(items[:2])
    await sink.send(items[2:])
    assert server.events() == [orjson.loads(body) for body in bodies(items)]


async def test_a_wrong_index_is_the_operators_to_mend(server: HecServer) -> None:
    """The events wait; when the index exists, they go in."""
    sink = make_sink(server, index="typo")
    await sink.open()
    items = make_items(3)
    with pytest.raises(Misconfigured, match="create the index") as raised:
        await sink.send(items)
    assert raised.value.accepted == 0
    server.indexer.indexes.add("typo")
    await sink.send(items)
    await sink.close()
    assert len(server.indexed) == 3


@pytest.mark.parametrize(("state", "says"), [("disabled", "enable the token"), ("ack", "indexer acknowledgement")])
async def test_a_token_that_cannot_be_used_is_found_at_open(server: HecServer, state: str, says: str) -> None:
    """And heals without a restart."""
    server.tokens[TOKEN] = state
    sink = make_sink(server, ack="off")
    with pytest.raises(Misconfigured, match=says):
        await sink.open()
    server.tokens[TOKEN] = "enabled"
    await sink.open()
    await sink.send(make_items(1))
    await sink.close()
    assert len(server.indexed) == 1


async def test_a_rotated_token_is_used_at_once(server: HecServer) -> None:
    tokens = ["old-token", TOKEN]
    sink = make_sink(server, token=Secret(lambda: tokens[0] + "\n"))
    with pytest.raises(Misconfigured, match="Invalid token"):
        await sink.open()
    del tokens[0]
    await sink.send(make_items(1))
    await sink.close()
    assert len(server.indexed) == 1


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Forged: 1", "tökén"])
async def test_a_token_that_is_none_is_never_sent(server: HecServer, token: str) -> None:
    sink = make_sink(server, token=Secret(token))
    with pytest.raises(Misconfigured, match="the token is empty or holds characters") as raised:
        await sink.open()
    assert not token or token not in str(raised.value)
    await sink.close()
    assert server.seen == []


async def test_a_redirect_is_not_followed_with_the_token(server: HecServer, sink: SplunkHecSink) -> None:
    thief = await HecServer().start()
    server.script.append(Scripted(307, headers={"Location": thief.url() + "/services/collector/event"}))
    with pytest.raises(Misconfigured, match="redirects"):
        await sink.send(make_items(1))
    assert thief.seen == []
    await thief.stop()


@pytest.mark.parametrize("status", [200, 400, 502, 503])
async def test_a_page_of_a_proxy_is_no_answer(server: HecServer, sink: SplunkHecSink, status: int) -> None:
    """Whatever its status says: nothing is acknowledged, nothing is refused."""
    server.script.append(Scripted(status, b"<html>" + b"x" * 200_000))
    with pytest.raises(Retryable, match=f"HTTP {status}, not an answer of the HTTP Event Collector"):
        await sink.send(make_items(1))
    await sink.send(make_items(1))
    assert len(server.indexed) == 1


async def test_json_that_is_cut_is_no_answer(server: HecServer, sink: SplunkHecSink) -> None:
    server.script.append(Scripted(200, b'{"text":"Succ', headers={"Content-Type": "application/json"}))
    with pytest.raises(Retryable):
        await sink.send(make_items(1))


async def test_a_page_is_not_searched_for_an_answer(server: HecServer, sink: SplunkHecSink) -> None:
    """Splunk answers as JSON; what calls itself HTML is somebody else's, whatever stands in it."""
    server.script.append(Scripted(200, b'{"text":"Success","code":0}'))
    with pytest.raises(Retryable):
        await sink.send(make_items(1))


async def test_a_server_that_shuts_down_is_left(server: HecServer, sink: SplunkHecSink) -> None:
    """Its reply keeps the connection alive; staying would pin us to a dying pod behind a Service."""
    server.script.append(Scripted(503, {"text": "Server is shutting down", "code": 23}))
    with pytest.raises(Retryable, match="code 23"):
        await sink.send(make_items(1))
    await sink.close()
    await sink.open()
    await sink.send(make_items(1))
    assert [seen.connection for seen in server.posts()] == [0, 1]


async def test_a_busy_server_is_waited_for_as_long_as_it_asks(server: HecServer, sink: SplunkHecSink) -> None:
    busy = {"text": "Queue is at capacity", "code": 26}
    server.script.append(Scripted(429, busy, headers={"Retry-After": "17"}))
    with pytest.raises(Retryable) as raised:
        await sink.send(make_items(1))
    assert raised.value.retry_after == 17.0
    assert not raised.value.unanswered


@pytest.mark.parametrize(("reset", "indexed"), [("early", 0), ("late", 2)])
async def test_a_connection_cut_without_an_answer_may_have_delivered(
    server: HecServer, sink: SplunkHecSink, reset: Any, indexed: int
) -> None:
    """Nobody can know; the events are sent again and counted as possible duplicates."""
    server.script.append(Scripted(reset=reset, index=indexed))
    with pytest.raises(Retryable) as raised:
        await sink.send(make_items(2))
    assert raised.value.unanswered
    assert raised.value.accepted == 0
    assert len(server.indexed) == indexed
    await sink.send(make_items(2))


async def test_what_earlier_requests_of_the_batch_delivered_is_not_repeated(
    server: HecServer, sink: SplunkHecSink
) -> None:
    items = make_items(15, size=100_000)
    server.script.extend([Scripted(200, {"text": "Success", "code": 0}, index=100), Scripted(reset="early")])
    with pytest.raises(Retryable) as raised:
        await sink.send(items)
    assert raised.value.accepted == len(server.indexed) == 10


async def test_silence_ends_with_the_time_out(server: HecServer) -> None:
    sink = make_sink(server, timeout=0.3)
    await sink.open()
    server.script.append(Scripted(silent=True))
    with pytest.raises(Retryable) as raised:
        await sink.send(make_items(1))
    assert (raised.value.kind, raised.value.unanswered) == ("timeout", True)
    await sink.close()


async def test_nobody_there_is_no_possible_duplicate(server: HecServer) -> None:
    sink = make_sink(server)
    await server.stop()
    with pytest.raises(Retryable) as raised:
        await sink.open()
    assert (raised.value.kind, raised.value.unanswered) == ("connection", False)
    await sink.close()


@pytest.mark.parametrize(
    "answer",
    [
        Scripted(400, {"text": "Invalid data format", "code": 6}),
        Scripted(400, b"invalid payload"),
        Scripted(200, {"text": "Success", "code": 0}),
    ],
)
async def test_what_a_stand_in_for_splunk_says_to_an_empty_request_does_not_stop_it(
    server: HecServer, answer: Scripted
) -> None:
    server.empty = answer
    sink = make_sink(server)
    await sink.open()
    await sink.send(make_items(1))
    await sink.close()
    assert len(server.indexed) == 1


@pytest.mark.parametrize("status", [404, 503])
async def test_a_server_that_is_not_ready_is_found_at_open(server: HecServer, status: int) -> None:
    server.empty = Scripted(status, b"<html>")
    sink = make_sink(server)
    with pytest.raises(Retryable, match=f"HTTP {status}"):
        await sink.open()
    await sink.close()


async def test_a_url_of_something_else_is_reported_at_open(server: HecServer) -> None:
    """An HTTP server that is no collector answers 404 for its path."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    sink = make_sink(server, url=f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}")
    with pytest.raises(Retryable, match="the URL is another server's"):
        await sink.open()
    await sink.close()
    other.close()
    await other.wait_closed()


# TLS


@pytest_asyncio.fixture
async def secure(server: HecServer, tmp_path: Path) -> AsyncIterator[tuple[HecServer, trustme.CA, Path]]:
    """Run a collector with TLS on the name `splunk.test`, and give its authority and a file of it."""
    await server.stop()
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("splunk.test").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    yield await server.start(tls=context), authority, ca_file


async def test_tls_verifies_the_authority_and_the_name(secure: tuple[HecServer, trustme.CA, Path]) -> None:
    server, _, ca_file = secure
    sink = make_sink(server, url=server.url("https"), tls_ca_file=ca_file, tls_server_name="splunk.test")
    await sink.open()
    await sink.send(make_items(2))
    await sink.close()
    assert len(server.indexed) == 2


@pytest.mark.parametrize(
    "settings", [{"tls_server_name": "splunk.test"}, {"tls_ca_file": "ca"}, {"tls_ca_file": "/nonexistent"}]
)
async def test_a_certificate_that_is_not_trusted_is_the_operators_to_mend(
    secure: tuple[HecServer, trustme.CA, Path], settings: dict[str, Any]
) -> None:
    """Another authority, another name, a missing file: nothing is sent, not even the token."""
    server, _, ca_file = secure
    if settings.get("tls_ca_file") == "ca":
        settings = {"tls_ca_file": ca_file}
    sink = make_sink(server, url=server.url("https"), **settings)
    with pytest.raises(Misconfigured):
        await sink.open()
    await sink.close()
    assert server.seen == []


async def test_plain_http_spoken_to_a_tls_url_is_the_operators_to_mend(server: HecServer) -> None:
    sink = make_sink(server, url=server.url("https"))
    with pytest.raises(Misconfigured, match="TLS failed"):
        await sink.open()
    await sink.close()


# Settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ack": "off", "ack_timeout": "5m"}, "no effect without acknowledgement"),
        ({"max_body_bytes": "6MiB"}, "max_body_bytes"),
        ({"url": ""}, "url"),
        ({"url": "https://a.example, https://a.example/"}, "given twice"),
        ({"url": "https://a.example,b.example"}, "write https://host:port"),
        ({"tls_insecure_skip_verify": "true", "tls_ca_file": "/x"}, "trusts anybody"),
        ({"url": "http://splunk.example", "tls_insecure_skip_verify": "true"}, "the URL is plain http"),
        ({"url": "splunk.example:8088"}, "write https://host:port"),
        ({"url": "ftp://splunk.example"}, "write https://host:port"),
        ({"url": "https://splunk.example:port"}, "(?i)port"),
        ({"url": "https://u:p@splunk.example"}, "token has a setting of its own"),
        ({"url": "https://splunk.example/services/collector"}, "the path is added"),
        ({"url": "https://splunk.example?x=1"}, "the path is added"),
        ({"url": "http://splunk.example", "tls_ca_file": "/x"}, "the URL is plain http"),
        ({"sourcetype": ""}, "at least 1 character"),
        ({"url": None}, "url"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(settings: dict[str, Any], says: str) -> None:
    given = {"url": "https://splunk.example:8088", "token": Secret(TOKEN), **settings}
    with pytest.raises(pydantic.ValidationError, match=says):
        SplunkHecSettings.model_validate(given)


def test_a_url_is_kept_without_its_last_slash() -> None:
    settings = SplunkHecSettings.model_validate({"url": "https://[::1]:8088/", "token": Secret(TOKEN)})
    assert settings.url == ["https://[::1]:8088"]
    assert (settings.ack, settings.gzip, settings.sourcetype) == ("auto", True, "persona:user_audit_log")
