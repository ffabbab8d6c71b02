"""Persona over real sockets: what a network, a proxy and a broken or hostile server do."""

import asyncio
import gzip
import logging
import socket
import ssl
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from forwarder.collect.persona import PersonaApi
from forwarder.errors import Misconfigured, Retryable, Unreadable
from forwarder.metrics import Metrics
from tests.collect.scripted import KEY, Request, Script, Server, http, page, persona, serving
from tests.peers import free_port

GZIP = "Content-Encoding: gzip"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def shows_no_key(error: BaseException | None) -> None:
    """Neither the error nor what it came from holds the key, however it is printed."""
    while error is not None:
        assert KEY not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


async def retryable(url: str, *, kind: str, **settings: Any) -> Retryable:
    source = persona(url, **settings)
    try:
        with pytest.raises(Retryable) as caught:
            await source.fetch_page(None, 100)
    finally:
        await source.close()
    assert caught.value.kind == kind, caught.value
    shows_no_key(caught.value)
    return caught.value


async def unreadable(url: str, **settings: Any) -> Unreadable:
    source = persona(url, **settings)
    try:
        with pytest.raises(Unreadable) as caught:
            await source.fetch_page(None, 100)
    finally:
        await source.close()
    return caught.value


async def misconfigured(url: str, **settings: Any) -> str:
    source = persona(url, **settings)
    try:
        with pytest.raises(Misconfigured) as caught:
            await source.fetch_page(None, 100)
    finally:
        await source.close()
    shows_no_key(caught.value)
    return caught.value.reason


async def ids(source: PersonaApi, cursor: str | None = None) -> list[str]:
    try:
        return [record["id"] for record in (await source.fetch_page(cursor, 100)).records]
    finally:
        await source.close()


class TestBody:
    async def test_a_page_and_the_next_arrive(self) -> None:
        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            writer.write(http(page("ual_1", following="ual_1")))
            await writer.drain()

        async with serving(script) as server:
            source = persona(server.url)
            first = await source.fetch_page(None, 100)
            await source.fetch_page(first.next, 50)
            await source.close()
        assert [request.target for request in server.requests] == [
            "/api/v1/user-audit-logs?page%5Bsize%5D=100",
            "/api/v1/user-audit-logs?page%5Bsize%5D=50&page%5Bafter%5D=ual_1",
        ]
        head = server.requests[0].headers
        assert head["authorization"] == f"Bearer {KEY}"
        assert head["accept-encoding"] == "gzip"
        assert "cookie" not in head

    async def test_a_connection_that_the_server_gave_up_meanwhile_costs_no_failure(self) -> None:
        """Every server closes idle connections long before the next poll."""
        answer = http(page("ual_1")).replace(b"Connection: close", b"Connection: keep-alive")
        async with serving(answer) as server:
            source = persona(server.url)
            for pause in (0, 0.05, 0):
                await asyncio.sleep(pause)
                await source.fetch_page(None, 100)
            await source.close()
        assert len(server.requests) == 3

    async def test_gzip_is_unpacked_in_one_member_or_several(self) -> None:
        whole = page("ual_1", "ual_2")
        for packed in (gzip.compress(whole), gzip.compress(whole[:20]) + gzip.compress(whole[20:])):
            async with serving(http(packed, "200 OK", GZIP)) as server:
                assert await ids(persona(server.url)) == ["ual_1", "ual_2"]

    async def test_gzip_that_comes_in_single_bytes_is_unpacked(self) -> None:
        packed = http(gzip.compress(page("ual_1")), "200 OK", GZIP)

        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            for at in range(len(packed)):
                writer.write(packed[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0)

        async with serving(script) as server:
            assert await ids(persona(server.url)) == ["ual_1"]

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            (gzip.compress(page("ual_1"))[:-4], "gzip"),
            (gzip.compress(page("ual_1"))[:-8] + b"wrongsum", "gzip"),
            (page("ual_1"), "gzip"),
            (zlib.compress(page("ual_1")), "deflate"),
            (b"\x0b\x02\x80{}\x03", "br"),
        ],
        ids=["cut", "wrong checksum", "not packed", "deflate", "brotli"],
    )
    async def test_a_damaged_or_unasked_encoding_is_retried(self, body: bytes, encoding: str) -> None:
        async with serving(http(body, "200 OK", f"Content-Encoding: {encoding}", "Request-Id: req_5")) as server:
            problem = await retryable(server.url, kind="incomplete")
        assert "req_5" in problem.reason

    async def test_a_body_shorter_than_its_content_length_is_retried(self) -> None:
        async with serving(http(page("ual_1"), "200 OK", "Content-Length: 5000")) as server:
            await retryable(server.url, kind="incomplete")

    async def test_a_chunked_body_that_is_cut_is_retried_even_where_its_json_is_whole(self) -> None:
        body = page("ual_1")
        cut = b"%x\r\n%s\r\n" % (len(body), body)
        async with serving(http(cut, "200 OK", "Transfer-Encoding: chunked")) as server:
            await retryable(server.url, kind="incomplete")
        async with serving(http(cut + b"0\r\n\r\n", "200 OK", "Transfer-Encoding: chunked")) as server:
            assert await ids(persona(server.url)) == ["ual_1"]

    async def test_a_body_that_ends_with_its_connection_is_believed_only_if_it_parses(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n"
        async with serving(head + page("ual_1")) as server:
            assert await ids(persona(server.url)) == ["ual_1"]
        async with serving(head + page("ual_1")[:-9]) as server:
            await retryable(server.url, kind="not_persona")

    async def test_a_reset_in_mid_body_is_retried(self) -> None:
        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            writer.write(http(page("ual_1"), "200 OK", "Content-Length: 5000"))
            await writer.drain()
            await asyncio.sleep(0.05)
            reset(writer)

        async with serving(script) as server:
            problem = await retryable(server.url, kind="incomplete")
        assert "cut" in problem.reason

    @pytest.mark.parametrize("answer", [b"", b"SMTP ready\r\n\r\n", b"HTTP/1.1 2"])
    async def test_what_is_no_http_is_retried(self, answer: bytes) -> None:
        async with serving(answer) as server:
            await retryable(server.url, kind="protocol" if answer.startswith(b"SMTP") else "connection")

    async def test_long_headers_of_the_edge_are_taken(self) -> None:
        policy = "Content-Security-Policy: " + "default-src 'self'; " * 1000
        async with serving(http(page("ual_1"), "200 OK", policy)) as server:
            assert await ids(persona(server.url)) == ["ual_1"]


class TestTime:
    async def test_a_slow_drip_is_cut_off_by_the_time_out_of_the_whole_request(self) -> None:
        """Each byte comes soon after the other, so a time-out per read would wait for hours."""

        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            for byte in http(page("ual_1")):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)

        started = asyncio.get_running_loop().time()
        async with serving(script) as server:
            problem = await retryable(server.url, kind="timeout", timeout="300ms")
        assert "FORWARDER_PERSONA_TIMEOUT" in problem.reason
        assert asyncio.get_running_loop().time() - started < 2

    async def test_a_server_that_never_answers_is_cut_off(self) -> None:
        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            await asyncio.sleep(60)

        async with serving(script) as server:
            await retryable(server.url, kind="timeout", timeout="200ms")

    async def test_a_cancelled_request_leaves_a_source_that_works(self) -> None:
        asked = asyncio.Event()

        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            if not asked.is_set():
                asked.set()
                await asyncio.sleep(60)
            writer.write(http(page("ual_1")))

        async with serving(script) as server:
            source = persona(server.url)
            task = asyncio.create_task(source.fetch_page(None, 100))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await ids(source) == ["ual_1"]


class TestSize:
    LIMIT = 1 << 20

    async def test_exactly_the_limit_is_read_and_one_byte_more_is_not(self) -> None:
        body = page("ual_1")
        padded = body + b" " * (self.LIMIT - len(body))
        for packed in (False, True):
            for extra in (b"", b" "):
                sent = padded + extra
                answer = http(gzip.compress(sent), "200 OK", GZIP) if packed else http(sent)
                async with serving(answer) as server:
                    if extra:
                        problem = await unreadable(server.url, max_response_bytes="1MiB")
                        assert "FORWARDER_PERSONA_MAX_RESPONSE_BYTES" in problem.reason
                    else:
                        assert await ids(persona(server.url, max_response_bytes="1MiB")) == ["ual_1"]

    async def test_an_endless_body_is_given_up_at_the_limit(self) -> None:
        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            writer.write(http(b"", "200 OK", "Transfer-Encoding: chunked"))
            while True:
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await writer.drain()

        async with serving(script) as server:
            await unreadable(server.url, max_response_bytes="1MiB")

    async def test_a_bomb_is_stopped_at_the_limit_and_not_after_it(self) -> None:
        """200 MiB of spaces fit into 200 KB; they must never be in memory."""
        packer = zlib.compressobj(9, wbits=31)
        bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(200)) + packer.flush()
        assert len(bomb) < 300_000
        async with serving(http(bomb, "200 OK", GZIP)) as server:
            tracemalloc.start()
            try:
                await unreadable(server.url, max_response_bytes="1MiB")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 8 << 20

    async def test_the_body_of_an_error_is_bounded_too(self) -> None:
        async def script(writer: asyncio.StreamWriter, request: Request) -> None:
            writer.write(http(b"", "500 Oops", "Transfer-Encoding: chunked"))
            while True:
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await writer.drain()

        async with serving(script) as server:
            await retryable(server.url, kind="server_error")


class TestKeyStaysHome:
    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
    async def test_a_redirect_is_refused_and_its_target_never_asked(self, status: str) -> None:
        async with serving(http(page("ual_1"))) as other:
            location = f"Location: http://127.0.0.1:{other.port}/api/v1/user-audit-logs"
            async with serving(http(b"", status, location)) as server:
                reason = await misconfigured(server.url)
        assert other.requests == []
        assert len(server.requests) == 1
        assert "redirect" in reason
        assert "FORWARDER_PERSONA_BASE_URL" in reason

    async def test_a_link_to_another_host_gives_a_cursor_and_no_more(self) -> None:
        async with serving(http(page("ual_0"))) as other:
            link = b'"http://127.0.0.1:%d/api/v1/user-audit-logs?page[after]=ual_1"' % other.port
            body = b'{"data":[{"id":"ual_1"}],"links":{"prev":null,"next":' + link + b"}}"
            async with serving(http(body)) as server:
                source = persona(server.url)
                found = await source.fetch_page(None, 100)
                await source.fetch_page(found.next, 100)
                await source.close()
        assert other.requests == []
        assert len(server.requests) == 2

    async def test_no_proxy_sees_a_request_over_plain_http(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with serving(http(page("ual_1"))) as proxy, serving(http(page("ual_2"))) as server:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            assert await ids(persona(server.url)) == ["ual_2"]
        assert proxy.requests == []

    async def test_a_netrc_entry_does_not_take_the_keys_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login somebody password else\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        async with serving(http(page("ual_1"))) as server:
            assert await ids(persona(server.url)) == ["ual_1"]
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"

    async def test_a_cookie_is_not_sent_back(self) -> None:
        async with serving(http(page("ual_1"), "200 OK", "Set-Cookie: a=b; Path=/")) as server:
            source = persona(server.url)
            await source.fetch_page(None, 100)
            await source.fetch_page(None, 100)
            await source.close()
        assert "cookie" not in server.requests[1].headers

    async def test_an_echoed_key_is_in_no_error_log_or_metric(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        body = b'{"errors":[{"title":"Token %s is invalid"}]}' % KEY.encode()
        metrics = Metrics("test")
        async with serving(http(body, f"401 {KEY}", "Request-Id: req_1")) as server:
            reason = await misconfigured(server.url, metrics=metrics)
        assert "Token ******** is invalid" in reason
        assert KEY not in caplog.text
        assert KEY not in metrics.expose().decode()


class TestConnecting:
    async def test_a_closed_port_is_retried(self) -> None:
        port = free_port()
        problem = await retryable(f"http://127.0.0.1:{port}/api/v1", kind="connection")
        assert str(port) in problem.reason

    async def test_a_name_that_does_not_resolve_is_retried(self) -> None:
        problem = await retryable("https://persona.invalid/api/v1", kind="connection", timeout="20s")
        assert "persona.invalid" in problem.reason


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    async def server(self, authority: trustme.CA) -> AsyncIterator[Server]:
        async with serving(http(page("ual_1")), server_context(authority)) as running:
            yield running

    @pytest.fixture
    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> Path:
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(path))
        return path

    async def test_a_server_of_the_configured_authority_is_trusted(self, server: Server, ca_file: Path) -> None:
        assert await ids(persona(f"https://127.0.0.1:{server.port}/api/v1", tls_ca_file=ca_file)) == ["ual_1"]

    async def test_an_unknown_authority_is_for_the_operator_and_never_gets_the_key(self, server: Server) -> None:
        reason = await misconfigured(f"https://127.0.0.1:{server.port}/api/v1")
        assert "FORWARDER_PERSONA_TLS_CA_FILE" in reason
        assert server.requests == []

    async def test_a_certificate_for_another_name_is_not_trusted(self, server: Server, ca_file: Path) -> None:
        reason = await misconfigured(f"https://localhost:{server.port}/api/v1", tls_ca_file=ca_file)
        assert "certificate" in reason
        assert server.requests == []

    async def test_a_mended_ca_file_is_enough(self, server: Server, ca_file: Path, authority: trustme.CA) -> None:
        trustme.CA().cert_pem.write_to_path(str(ca_file))
        source = persona(f"https://127.0.0.1:{server.port}/api/v1", tls_ca_file=ca_file)
        with pytest.raises(Misconfigured):
            await source.fetch_page(None, 100)
        authority.cert_pem.write_to_path(str(ca_file))
        assert await ids(source) == ["ual_1"]

    @pytest.mark.parametrize("content", [None, b"not a certificate"])
    async def test_a_ca_file_that_cannot_be_used_is_named(self, content: bytes | None, tmp_path: Path) -> None:
        path = tmp_path / "missing.pem"
        if content is not None:
            path.write_bytes(content)
        reason = await misconfigured("https://127.0.0.1:1/api/v1", tls_ca_file=path)
        assert "FORWARDER_PERSONA_TLS_CA_FILE" in reason

    async def test_a_server_that_speaks_no_tls_is_retried(self) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(http(b"", "400 Bad Request"))
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as plain:
            port = plain.sockets[0].getsockname()[1]
            await retryable(f"https://127.0.0.1:{port}/api/v1", kind="tls")

    async def test_a_proxy_tunnels_and_sees_neither_key_nor_request(
        self, server: Server, ca_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with serving(tunnel(server.port)) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
            url = f"https://127.0.0.1:{server.port}/api/v1"
            assert await ids(persona(url, tls_ca_file=ca_file)) == ["ual_1"]
            (request,) = proxy.requests
            assert (request.method, request.target) == ("CONNECT", f"127.0.0.1:{server.port}")
            assert request.headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"
            assert "authorization" not in request.headers
            assert "proxy-authorization" not in server.requests[0].headers

            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert await ids(persona(url, tls_ca_file=ca_file)) == ["ual_1"]
            assert len(proxy.requests) == 1

    async def test_a_proxy_that_refuses_or_fails_is_named_without_its_password(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = f"https://127.0.0.1:{server.port}/api/v1"
        for status in ("407 Auth", "403 No", "502 Bad"):
            async with serving(http(b"", status)) as proxy:
                monkeypatch.setenv("HTTPS_PROXY", f"http://user:hush@127.0.0.1:{proxy.port}")
                if status.startswith("5"):
                    reason = (await retryable(url, kind="connection")).reason
                else:
                    reason = await misconfigured(url)
                assert "HTTPS_PROXY" in reason
                assert "hush" not in reason
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hush@127.0.0.1:{free_port()}")
        reason = (await retryable(url, kind="connection")).reason
        assert "HTTPS_PROXY" in reason
        assert "hush" not in reason

    @pytest.mark.parametrize("proxy", ["socks5://user:hush@127.0.0.1:1080", "http://[", "//"])
    async def test_a_proxy_that_cannot_be_used_is_reported(self, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        reason = await misconfigured("https://persona.invalid/api/v1")
        assert "HTTPS_PROXY" in reason
        assert "hush" not in reason


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection with a TCP reset instead of an orderly end."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def tunnel(port: int) -> Script:
    """A proxy's side of CONNECT: both directions copied until one ends."""

    async def script(writer: asyncio.StreamWriter, request: Request) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        try:
            await asyncio.gather(copied(request.reader, far_writer), copied(far_reader, writer))
        finally:
            far_writer.close()

    return script


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_a_request_that_the_client_repeats_by_itself_is_told() -> None:
    """A kept connection that the server closes is no failure; yet the rate limit counts both requests."""
    kept = http(page("ual_1")).replace(b"Connection: close", b"Connection: keep-alive")
    again: list[Request] = []

    async def script(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(kept)
        if len(server.requests) == 1:
            await request.reader.readuntil(b"\r\n\r\n")  # the second request on this connection: no answer
            again.append(request)
        await writer.drain()

    repeats: list[int] = []
    async with serving(script) as server:
        api = persona(server.url)
        api.on_repeat = lambda: repeats.append(len(server.requests))
        await api.fetch_page(None, 10)
        assert repeats == []
        await api.fetch_page(None, 10)
        assert (len(again), len(repeats)) == (1, 1)
        await api.close()
