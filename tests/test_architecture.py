"""The sink that docs/architecture.md shows is a whole one: the text itself is run, and delivers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from forwarder.errors import Misconfigured, Refused, Retryable
from forwarder.record import Origin, parse_event
from forwarder.sinks.base import Item, Sink, SinkContext

DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"


def shown() -> type[Sink[Any]]:
    """Run the example, and give its sink."""
    (source,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    module = ModuleType("webhook")
    exec(compile(source, str(DOCUMENT), "exec"), module.__dict__)  # the document's own text is what is tested
    sink: type[Sink[Any]] = module.__dict__["WebhookSink"]
    assert issubclass(sink, Sink)
    return sink


class Receiver:
    """The other end: keeps what it was sent, and answers with the status that it is told to."""

    def __init__(self) -> None:
        self.status = 204
        self.bodies: list[bytes] = []
        application = web.Application()
        application.router.add_post("/in", self._take)
        self.server = TestServer(application, host="127.0.0.1")

    async def _take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response(status=self.status)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    await one.server.start_server()
    yield one
    await one.server.close()


@pytest_asyncio.fixture
async def sink(receiver: Receiver) -> AsyncIterator[Sink[Any]]:
    kind = shown()
    settings = kind.settings_model.model_validate({"url": str(receiver.server.make_url("/in"))})
    one = kind(settings, SinkContext("hook", "journal-1"))
    assert await one.open() is None
    yield one
    await one.close()
    await one.close()


def items(*bodies: bytes) -> list[Item]:
    event = parse_event({"id": "ual_1"}, origin=Origin("persona"), collected_at=0)
    return [Item(seq, event, body) for seq, body in enumerate(bodies, 1)]


async def test_the_sink_of_the_document_delivers_a_batch(sink: Sink[Any], receiver: Receiver) -> None:
    await sink.send(items(b'{"id":"ual_1"}', b'{"id":"ual_2"}'))
    assert receiver.bodies == [b'{"id":"ual_1"}\n{"id":"ual_2"}']


@pytest.mark.parametrize(
    ("status", "failure"), [(401, Misconfigured), (422, Refused), (302, Retryable), (503, Retryable)]
)
async def test_the_sink_of_the_document_says_what_is_wrong_in_the_words_of_the_contract(
    sink: Sink[Any], receiver: Receiver, status: int, failure: type[Exception]
) -> None:
    receiver.status = status
    with pytest.raises(failure):
        await sink.send(items(b"{}"))


async def test_the_sink_of_the_document_cannot_know_what_became_of_a_batch_without_an_answer(
    sink: Sink[Any], receiver: Receiver
) -> None:
    await receiver.server.close()
    with pytest.raises(Retryable) as raised:
        await sink.send(items(b"{}"))
    assert raised.value.unanswered
