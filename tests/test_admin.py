"""The admin server, spoken to over real sockets."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from forwarder import admin as admin_module
from forwarder import logs
from forwarder.admin import Admin
from forwarder.clock import SystemClock
from forwarder.errors import ConfigurationError
from forwarder.metrics import Metrics
from forwarder.pulse import Pulse

PATHS = ["/livez", "/readyz", "/metrics", "/status", "/"]


async def good_status() -> dict[str, Any]:
    return {"version": "1", "sinks": [{"name": "soc", "backlog": 12345}, {"name": "<b>x</b>", "lag": None}]}


async def good_metrics() -> bytes:
    return Metrics("1.2.3").expose()


@asynccontextmanager
async def serving(
    *,
    liveness: Callable[[], list[str]] = list,
    readiness: Callable[[], list[str]] = list,
    status: Callable[[], Awaitable[dict[str, Any]]] = good_status,
    metrics: Callable[[], Awaitable[bytes]] = good_metrics,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[str]:
    """The base URL of a running admin server."""
    stop = asyncio.Event()
    admin = Admin(host, port, liveness=liveness, readiness=readiness, status=status, metrics=metrics)
    running = asyncio.create_task(admin.run(Pulse(stop, SystemClock())))
    try:
        while admin.port is None and not running.done():  # noqa: ASYNC110 # an actor has no event for "listening"
            await asyncio.sleep(0.001)
        yield f"http://127.0.0.1:{admin.port}"
    finally:
        stop.set()
        await running


@asynccontextmanager
async def answer(url: str, method: str = "GET") -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as response:
        yield response


async def test_a_probe_answers_200_without_reasons_and_503_with_them() -> None:
    reasons: list[str] = []
    async with serving(readiness=lambda: reasons) as base:
        async with answer(f"{base}/readyz") as response:
            assert response.status == 200
            assert await response.json() == {"status": "ok", "reasons": []}
        reasons.append("sink soc: credentials refused")
        async with answer(f"{base}/readyz") as response:
            assert response.status == 503
            assert await response.json() == {"status": "unready", "reasons": ["sink soc: credentials refused"]}
        async with answer(f"{base}/livez") as response:
            assert response.status == 200


async def test_liveness_has_reasons_of_its_own() -> None:
    async with serving(liveness=lambda: ["persona: no heartbeat for 130 s"]) as base:
        async with answer(f"{base}/livez") as response:
            assert response.status == 503
            assert (await response.json())["reasons"] == ["persona: no heartbeat for 130 s"]
        async with answer(f"{base}/readyz") as response:
            assert response.status == 200


async def test_metrics_are_readable_by_the_prometheus_parser() -> None:
    async with serving() as base, answer(f"{base}/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    build = families["forwarder_build_info"].samples[0]
    assert (build.labels, build.value) == ({"version": "1.2.3"}, 1.0)


async def test_status_is_json() -> None:
    async with serving() as base, answer(f"{base}/status") as response:
        assert response.headers["Content-Type"] == "application/json"
        assert await response.json() == await good_status()


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


async def test_the_page_shows_the_status_and_escapes_it() -> None:
    async with serving() as base, answer(base) as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        page = Page(await response.text())
    assert "b" not in page.tags
    assert "<b>x</b>" in page.text
    assert {"soc", "12,345", "backlog", "none"} <= set(page.text)


@pytest.mark.parametrize(
    "status",
    [{}, {"a": [1, [2, [3]], {"b": True}]}, {"a": "<script>alert(1)</script>", "<i>": ["<u>"]}],
)
async def test_the_page_takes_any_json(status: dict[str, Any]) -> None:
    async def show() -> dict[str, Any]:
        return status

    async with serving(status=show) as base, answer(base) as response:
        assert response.status == 200
        assert not {"script", "i", "u"} & set(Page(await response.text()).tags)


async def test_a_very_deep_status_still_has_a_page() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"below": deep or 1}

    async def show() -> dict[str, Any]:
        return deep

    async with serving(status=show) as base, answer(base) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_forbids_caching_sniffing_framing_and_names_no_software(path: str) -> None:
    async with serving() as base, answer(base + path) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Server"] == "persona-siem-forwarder"


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_as_get_without_a_body(path: str) -> None:
    async with serving() as base, answer(base + path, "HEAD") as response:
        assert response.status == 200
        assert await response.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/livez", "/status"])
async def test_other_methods_are_refused(path: str, method: str) -> None:
    async with serving() as base, answer(base + path, method) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/nothing", "/livez/", "/../etc/passwd", "/status/x", "//livez", "/%2e%2e/x"])
async def test_other_paths_do_not_exist(path: str) -> None:
    async with serving() as base:
        raw = await exchange(base, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert raw.startswith(b"HTTP/1.1 404 ")


async def exchange(base: str, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rsplit(":", 1)[1]))
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_fault_in_the_status_is_logged_told_without_details_and_hides_nothing_else() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)

    async def broken() -> dict[str, Any]:
        raise RuntimeError("the disk said no")

    async with serving(status=broken) as base:
        for path in ("/status", "/"):
            async with answer(base + path) as response:
                assert response.status == 500
                assert "disk" not in await response.text()
        async with answer(f"{base}/livez") as response:
            assert response.status == 200
    failed = [
        line for line in map(json.loads, stream.getvalue().splitlines()) if line["event"] == "admin.answer_failed"
    ]
    assert [line["path"] for line in failed] == ["/status", "/"]
    assert "the disk said no" in failed[0]["exception"]


async def test_a_status_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "ANSWER_SECONDS", 0.05)

    async def slow() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async with serving(status=slow) as base:
        async with answer(f"{base}/status") as response:
            assert response.status == 503
        async with answer(f"{base}/metrics") as response:
            assert response.status == 200


async def test_status_is_collected_for_one_client_at_a_time() -> None:
    running = most = 0

    async def counted() -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return {}

    async def ask(url: str) -> int:
        async with answer(url) as response:
            return response.status

    async with serving(status=counted) as base:
        assert set(await asyncio.gather(*(ask(f"{base}/status") for _ in range(8)))) == {200}
    assert most == 1


async def test_idle_clients_cannot_keep_a_probe_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sends half a request and waits; the oldest of them is dropped for whoever comes."""
    monkeypatch.setattr(admin_module, "MAX_CONNECTIONS", 3)
    async with serving() as base:
        port = int(base.rsplit(":", 1)[1])
        idle = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /livez HT")
            idle.append((reader, writer))
        async with answer(f"{base}/livez") as response:
            assert response.status == 200
        assert await asyncio.wait_for(idle[0][0].read(), 5) == b""
        for _, writer in idle:
            writer.transport.abort()


async def test_a_client_that_never_finishes_its_request_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "CONNECTION_SECONDS", 0.05)
    async with serving() as base:
        assert await asyncio.wait_for(exchange(base, b"GET /livez HTTP/1.1\r\nX-Slow: "), 5) == b""


async def test_the_port_it_picked_is_logged() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    async with serving() as base:
        (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["event"] == "admin.listening"
    assert base == f"http://{line['host']}:{line['port']}"


async def test_a_port_in_use_is_a_configuration_error_that_names_the_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"FORWARDER_HTTP_PORT: port {port} .* in use"):
            async with serving(port=port):
                pass


@pytest.mark.parametrize("host", ["a" * 70, "192.0.2.1"])
async def test_a_host_that_is_not_ours_is_a_configuration_error_that_names_the_variable(host: str) -> None:
    with pytest.raises(ConfigurationError, match="FORWARDER_HTTP_HOST"):
        async with serving(host=host):
            pass


def test_a_host_that_cannot_be_looked_up_is_blamed_on_its_variable() -> None:
    problem = admin_module._listen_problem("nowhere", 8080, socket.gaierror(-2, "Name or service not known"))
    assert str(problem) == "FORWARDER_HTTP_HOST: nowhere is no address of this machine"


async def test_it_can_be_run_again_after_it_ended() -> None:
    async with serving() as base:
        port = int(base.rsplit(":", 1)[1])
        async with answer(f"{base}/livez") as response:
            assert response.status == 200
    async with serving(port=port) as base, answer(f"{base}/livez") as response:
        assert response.status == 200
