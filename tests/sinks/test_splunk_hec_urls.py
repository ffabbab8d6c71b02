"""More than one collector, certificates, and what `check --live` tells apart."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from forwarder.errors import Failure, Misconfigured, Retryable
from forwarder.secret import Secret
from forwarder.sinks.base import SinkContext
from forwarder.sinks.splunk_hec import SplunkHecSettings, SplunkHecSink, rota
from forwarder.sinks.splunk_hec.rota import LEFT_OUT, Rota
from tests.peers import free_port
from tests.peers.hec import TOKEN, HecServer, Scripted
from tests.sinks.contract import make_items


def make_sink(urls: str, **settings: Any) -> SplunkHecSink:
    chosen = {"url": urls, "token": Secret(TOKEN), "timeout": 5.0, **settings}
    return SplunkHecSink(SplunkHecSettings.model_validate(chosen), SinkContext("soc-eu", "journal"))


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[list[HecServer]]:
    """Run two collectors."""
    servers = [await HecServer().start(), await HecServer().start()]
    yield servers
    for server in servers:
        await server.stop()


def both(pair: list[HecServer]) -> str:
    return ", ".join(server.url() for server in pair)


# Several collectors


def test_collectors_take_turns_and_one_that_failed_comes_last_for_a_while() -> None:
    turns = Rota(3)
    assert [list(turns.order(0.0)) for _ in range(3)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    turns.failed(1, 0.0)
    turns.failed(0, 1.0)
    assert list(turns.order(2.0)) == [2, 1, 0]
    assert list(turns.well(2.0)) == [2]
    assert sorted(turns.well(LEFT_OUT + 1.0)) == [0, 1, 2]
    turns.failed(2, 50.0)
    turns.worked(2)
    assert sorted(turns.well(50.0)) == [0, 1, 2]


async def test_the_load_is_shared(pair: list[HecServer]) -> None:
    sink = make_sink(both(pair))
    await sink.open()
    for n in range(6):
        await sink.send(make_items(1, first=n + 1))
    await sink.close()
    assert [len(server.indexed) for server in pair] == [3, 3]


async def test_a_dead_collector_is_left_out_and_tried_again(
    pair: list[HecServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fails meanwhile: no connection to it was made, so another may take the request."""
    await pair[0].stop()
    sink = make_sink(both(pair))
    await sink.open()
    for n in range(4):
        await sink.send(make_items(1, first=n + 1))
    assert len(pair[1].indexed) == 4
    await pair[0].start()
    await sink.send(make_items(1, first=5))
    assert len(pair[0].indexed) == 0, "it is left out for a while"
    monkeypatch.setattr(rota, "LEFT_OUT", 0.0)
    sink._rota.failed(0, 0.0)
    for n in range(5, 9):
        await sink.send(make_items(1, first=n + 1))
    await sink.close()
    assert len(pair[0].indexed) == 2


async def test_one_that_dies_between_two_sends_costs_at_most_one_of_them(pair: list[HecServer]) -> None:
    sink = make_sink(both(pair))
    await sink.open()
    await sink.send(make_items(1))
    await sink.send(make_items(1, first=2))
    await pair[0].stop()
    failures = []
    for n in range(3, 9):
        try:
            await sink.send(make_items(1, first=n))
        except Retryable as failure:
            failures.append(failure)
    await sink.close()
    assert len(failures) <= 1
    assert all(failure.kind == "connection" for failure in failures)


async def test_one_that_shuts_down_is_left(pair: list[HecServer]) -> None:
    """Its answer keeps the connection alive; the next request goes to the other one."""
    sink = make_sink(both(pair))
    await sink.open()
    pair[0].mischief = lambda seen: Scripted(503, {"text": "Server is shutting down", "code": 23})
    failures = []
    for n in range(6):
        try:
            await sink.send(make_items(1, first=n + 1))
        except Retryable as failure:
            failures.append(failure.reason)
    await sink.close()
    assert len(failures) == 1
    assert "code 23" in failures[0]
    assert len(pair[1].indexed) == 5


async def test_all_of_them_down_is_an_outage(pair: list[HecServer]) -> None:
    urls = both(pair)
    for server in pair:
        await server.stop()
    sink = make_sink(urls)
    with pytest.raises(Retryable) as raised:
        await sink.open()
    assert not raised.value.unanswered
    await pair[1].start()
    await sink.open()  # though it is left out
    await sink.send(make_items(1))
    await sink.close()
    assert len(pair[1].indexed) == 1


async def test_collectors_of_different_minds_about_acknowledgement_are_the_operators_to_mend(
    pair: list[HecServer],
) -> None:
    pair[0].tokens[TOKEN] = "ack"
    sink = make_sink(both(pair))
    with pytest.raises(Misconfigured, match="some of the URLs only"):
        await sink.open()
    await sink.close()


# Certificates


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest_asyncio.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[HecServer]:
    """Run a collector that shows a certificate for `splunk.test`."""
    server = await HecServer().start(tls=server_context(authority))
    yield server
    await server.stop()


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("splunk.test").configure_cert(context)
    return context


def written(authority: trustme.CA, path: Path) -> Path:
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_a_certificate_of_splunks_own_names_the_setting_to_set(secure: HecServer) -> None:
    sink = make_sink(secure.url("https"), tls_server_name="splunk.test")
    with pytest.raises(Misconfigured, match="FORWARDER_SOC_EU_TLS_CA_FILE"):
        await sink.open()
    await sink.close()
    assert secure.seen == []


async def test_another_name_names_the_setting_to_set(secure: HecServer, authority: trustme.CA, tmp_path: Path) -> None:
    sink = make_sink(secure.url("https"), tls_ca_file=written(authority, tmp_path / "ca.pem"))
    with pytest.raises(Misconfigured, match="FORWARDER_SOC_EU_TLS_SERVER_NAME"):
        await sink.open()
    await sink.close()


async def test_verification_ends_only_where_that_was_asked_for_and_warns(secure: HecServer) -> None:
    sink = make_sink(secure.url("https"), tls_insecure_skip_verify="true")
    await sink.open()
    await sink.send(make_items(1))
    await sink.close()
    assert len(secure.indexed) == 1
    [warning] = sink.warnings
    assert "FORWARDER_SOC_EU_TLS_INSECURE_SKIP_VERIFY" in warning
    assert make_sink(secure.url("https")).warnings == ()


async def test_a_rotated_authority_is_picked_up(secure: HecServer, authority: trustme.CA, tmp_path: Path) -> None:
    """The file is read again; no restart, no failure where it was in time."""
    ca_file = written(authority, tmp_path / "ca.pem")
    sink = make_sink(secure.url("https"), tls_ca_file=ca_file, tls_server_name="splunk.test")
    await sink.open()
    await sink.send(make_items(1))
    await secure.stop()
    successor = trustme.CA()
    await secure.start(tls=server_context(successor))
    ca_file.unlink()
    written(successor, ca_file)
    await sink.send(make_items(1, first=2))
    await sink.close()
    assert len(secure.indexed) == 2


async def test_mutual_tls(authority: trustme.CA, tmp_path: Path) -> None:
    """A server that wants a certificate of ours gets it; without one, the error names the setting."""
    context = server_context(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = await HecServer().start(tls=context)
    trust = {"tls_ca_file": written(authority, tmp_path / "ca.pem"), "tls_server_name": "splunk.test"}
    nobody = make_sink(server.url("https"), **trust)
    with pytest.raises(Failure, match="FORWARDER_SOC_EU_TLS_CERT_FILE"):
        await nobody.open()
    await nobody.close()
    ours = authority.issue_cert("forwarder.test")
    ours.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "ours.pem"))
    sink = make_sink(server.url("https"), **trust, tls_cert_file=tmp_path / "ours.pem")
    await sink.open()
    await sink.send(make_items(1))
    await sink.close()
    assert len(server.indexed) == 1
    await server.stop()


# What check tells apart


def unhealthy(server: HecServer) -> None:
    server.healthy = False


def disabled(server: HecServer) -> None:
    server.tokens[TOKEN] = "disabled"


def rotated(server: HecServer) -> None:
    server.tokens = {"another": "enabled"}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (unhealthy, "queues are full"),
        (disabled, r"Token disabled.*FORWARDER_SOC_EU_TOKEN"),
        (rotated, r"Invalid token.*FORWARDER_SOC_EU_TOKEN"),
        (lambda server: server.indexer.indexes.discard("audit"), r"Incorrect index.*FORWARDER_SOC_EU_INDEX"),
    ],
)
async def test_check_tells_what_is_wrong_and_sends_nothing(
    pair: list[HecServer], spoil: Callable[[HecServer], None], says: str
) -> None:
    """Also when it is wrong at one of several collectors only."""
    sink = make_sink(both(pair), index="audit")
    await sink.probe()
    await sink.close()
    spoil(pair[1])
    with pytest.raises(Failure, match=says):
        await sink.probe()
    await sink.close()
    assert [server.indexed for server in pair] == [[], []]


async def test_check_tells_where_nobody_is(secure: HecServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved, a port where nothing listens, a certificate that is not trusted."""

    async def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for url, says in (
        (f"http://127.0.0.1:{free_port()}", "refused: nothing listens there"),
        (secure.url("https"), "not trusted"),
    ):
        sink = make_sink(url)
        with pytest.raises(Failure, match=says):
            await sink.probe()
        await sink.close()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", no_such_name)
    sink = make_sink("http://splunk.example:8088")
    with pytest.raises(Retryable, match=r"the name splunk\.example cannot be resolved"):
        await sink.probe()
    await sink.close()


async def test_check_takes_a_stand_in_for_splunk_without_a_health_page(pair: list[HecServer]) -> None:
    """What is no answer of Splunk's own about its health or our index is no fault."""
    pair[0].health = Scripted(404, b"<html>")
    pair[0].script.append(Scripted(500, b"<html>"))
    sink = make_sink(pair[0].url(), index="audit")
    await sink.probe()
    await sink.close()
    assert len(pair[0].posts()) == 1
