"""Hostile events into rsyslog: as many messages come out as events went in, each parsed, none forged, none too long."""

import asyncio
import json
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from vrl_python import VRLRuntime

from forwarder.collect.lenient import loads
from forwarder.record import Json
from tests.peers.rsyslog import Rsyslog, Transport
from tests.sinks.syslog_peers import make_sink
from tests.soaks import HOSTILE
from tests.soaks.delivery import Delivery

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1800)]

LONGEST = 8192
HUGE = 900_000
"""Bytes of some values: one event in fifty has one."""

ATTACKS = (
    "\n<14>1 2026-01-01T00:00:00Z evil app - - - forged\n",
    '"] [forged@1 a="b"',
    "\\",
    "\u2028<13>x",
    "\u202e\u2066",
    "\x00\x1b[2J",
    "|CEF:0|a|b act=spoofed",
    "\t\r\n",
    "]]>",
    "#012",
    "\ufeff",
    "\ud800",
)
TEXT = st.lists(
    st.sampled_from(ATTACKS) | st.sampled_from([chr(n) for n in (*range(32), *range(127, 160))]) | st.text(max_size=12),
    max_size=5,
).map("".join)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "path",
    "method",
    "user-agent",
    "ip-address",
    "response-status",
    "created-at",
    "impersonator-email-address",
    "x",
)
BAGS = ("get-params", "post-params", "context")
ATTRIBUTES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(FIELDS, TEXT | VALUE) | {name: st.dictionaries(TEXT, VALUE, max_size=4) for name in BAGS}
)


@lru_cache(maxsize=1)
def hostile(count: int) -> list[Json]:
    """Draw so many records; some have a value of 900 kB, all were read as the collector reads them."""
    drawn: list[Json] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(attributes=ATTRIBUTES, user=TEXT, huge=TEXT)
    def draw(attributes: Json, user: str, huge: str) -> None:
        number = len(drawn) + 1
        if number % 50 == 0:
            place = ("path", "user-agent", "post-params", "x")[number // 50 % 4]
            attributes = {
                **attributes,
                place: {huge: huge + "y" * HUGE} if place == "post-params" else huge + "y" * HUGE,
            }
        link = {"data": {"type": "user", "id": user}}
        record = {
            "type": "user-audit-log",
            "id": f"ual_{number}",
            "attributes": attributes,
            "relationships": {"user": link},
        }
        # As text, with half of a surrogate pair in it, and read as the answers of Persona are.
        drawn.append(loads(json.dumps(record).encode()))

    draw()
    while len(drawn) < count:  # what was drawn twice is drawn once; the rest is made of what there is
        copy = orjson.loads(orjson.dumps(drawn[len(drawn) % 997 % len(drawn)]))
        drawn.append({**copy, "id": f"ual_{len(drawn) + 1}"})
    return drawn[:count]


@pytest.fixture
def receiver(tmp_path: Path, transport: Transport) -> Iterator[Rsyslog]:
    """Start one that takes messages of exactly our limit."""
    receiver = Rsyslog(tmp_path / "receiver", transport, max_message_bytes=LONGEST)
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.mark.parametrize("form", ["json", "raw", "cef"])
@pytest.mark.parametrize("transport", ["tcp", "relp"])
async def test_as_many_messages_come_out_as_events_went_in(receiver: Rsyslog, form: str) -> None:
    delivery = Delivery(make_sink(receiver, format=form, max_message_bytes=LONGEST))
    delivery.release(hostile(HOSTILE))
    async with delivery.running():
        await delivery.all_acknowledged()
    deadline = time.monotonic() + 30
    while len(receiver.lines()) < HOSTILE and time.monotonic() < deadline:  # noqa: ASYNC110 # another process
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)  # whatever else might come
    lines = receiver.lines()
    shrunk = 0
    for number, line in enumerate(lines, start=1):
        message = json.loads(line)
        assert (message["hostname"], message["app-name"], message["msgid"]) == ("host.example", "persona", "API")
        data = message["data"]["persona@32473"]
        assert (list(message["data"]), data["id"], data["seq"]) == (["persona@32473"], f"ual_{number}", str(number))
        assert len(message["msg"].encode()) + len(message["structured-data"].encode()) < LONGEST
        shrunk += "[left out: " in line
        if form == "cef":
            found = VRLRuntime.run(". = parse_cef!(string!(.m))", {"m": message["msg"]}, "UTC").processed_event
            assert (found["externalId"], found["name"]) == (f"ual_{number}", "API request")
        else:
            assert orjson.loads(message["msg"])["id"] == f"ual_{number}"
    print(
        f"{form} over {receiver.transport}: {HOSTILE:,} hostile events in, {len(lines):,} messages out, each parsed, ",
        end="",
    )
    print(f"{shrunk} of them shrunk, {delivery.dead_letters} dead letters")
    assert len(lines) == HOSTILE
    assert delivery.dead_letters == 0
