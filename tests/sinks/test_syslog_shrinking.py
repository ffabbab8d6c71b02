"""Messages that are too long: made shorter by whole values, still valid, never over the limit."""

import dataclasses
import hashlib
from random import Random
from typing import Any

import orjson
import pytest
from vrl_python import VRLRuntime

from forwarder.formats import FORMATS
from forwarder.record import Json, Origin, parse_event
from forwarder.sinks.base import Item
from forwarder.sinks.syslog.message import Header, write_message
from forwarder.sinks.syslog.shrinking import marker, shrink
from tests.sinks.syslog_grammar import Parsed, parse

HEADER = Header(facility=13, hostname="host.example", app_name="persona", structured_data_id="persona@32473")
FORMS = sorted(FORMATS)


def item(form: str, attributes: Json | None = None, *, known_as: str = "ual_1") -> Item:
    """Make an event of these attributes."""
    standard = {"created-at": "2026-03-01T09:15:02.331Z", "method": "POST", "path": "/a/b", "response-status": 200}
    resource = {"type": "user-audit-log", "id": known_as, "attributes": {**standard, **(attributes or {})}}
    event = parse_event(resource, origin=Origin("persona", "org_1", "env_1"), collected_at=1)
    return Item(7, event, FORMATS[form](event))


def shrunk(one: Item, form: str, longest: int = 8192) -> Parsed:
    """Shrink *one*, and read the message."""
    header = dataclasses.replace(HEADER, tabs=form.startswith("leef"))
    written = shrink(one, header, longest, form)
    assert written is not None
    assert len(written) <= longest
    return parse(written)


def fields(text: bytes, form: str) -> dict[str, Any]:
    """Read the text as its format has it."""
    if form == "cef":
        found = VRLRuntime.run(". = parse_cef!(string!(.m))", {"m": text.decode()}, "UTC").processed_event
        return dict(found)
    if form.startswith("leef"):
        attributes = text.decode().split("|", 6 if form == "leef" else 5)[-1]
        return dict(pair.split("=", 1) for pair in attributes.split("\t"))
    read: dict[str, Any] = orjson.loads(text)
    return read


def test_a_marker_has_the_size_and_the_hash_of_what_it_stands_for() -> None:
    digest = hashlib.sha256("é".encode() * 500).hexdigest()
    assert marker("é" * 500) == f"[left out: 1000 bytes, sha256 {digest[:32]}]"
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    assert marker({"a": 1}) == f"[left out: 7 bytes, sha256 {digest[:32]}]"


@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("json", ("request", "post_params", "big")),
        ("raw", ("attributes", "post-params", "big")),
        ("cef", ("cs3",)),
        ("leef", ("postParams",)),
        ("leef1", ("postParams",)),
    ],
)
def test_the_largest_parameter_goes_first_and_no_more_than_needed(form: str, place: tuple[str, ...]) -> None:
    """What identifies the event, and every value that there is room for, stays."""
    one = item(form, {"post-params": {"big": "x" * 9000}, "get-params": {"small": "y" * 500}, "user-agent": "z" * 200})
    longest = 3000  # CEF has cut the value to 4,000 already
    message = shrunk(one, form, longest)
    before: Any = fields(one.body, form)
    after: Any = fields(message.text, form)
    for step in place[:-1]:
        before, after = before[step], after[step]
    assert after[place[-1]] == marker(before[place[-1]])
    assert message.text.count(b"left out") == 1
    assert b"y" * 500 in message.text
    assert b"z" * 200 in message.text


def test_a_message_that_fits_is_as_it_was() -> None:
    """Nothing is taken out of one that is exactly as long as it may be."""
    one = item("json", {"post-params": {"a": "x" * 500}})
    whole = write_message(one, HEADER)
    shorter = shrink(one, HEADER, len(whole) - 1, "json")
    assert shorter is not None
    assert b"left out" in shorter
    assert b"left out" not in whole


@pytest.mark.parametrize("form", FORMS)
def test_a_path_of_megabytes_is_given_up_and_the_id_is_not(form: str) -> None:
    """Its copy in the structured data goes before the one in the text."""
    message = shrunk(item(form, {"path": "/p" * 450_000, "post-params": {"a": "b"}}), form)
    data = dict(message.data["persona@32473"])
    assert (data["id"], data["seq"], data["method"]) == ("ual_1", "7", "POST")
    assert data["path"].startswith("[left out: 900000 bytes")


def test_a_copy_in_the_structured_data_goes_before_the_value_in_the_text() -> None:
    message = shrunk(item("json", {"path": "/" + "p" * 3000}), "json")
    assert dict(message.data["persona@32473"])["path"].startswith("[left out: 3001 bytes")
    assert orjson.loads(message.text)["request"]["path"] == "/" + "p" * 3000


@pytest.mark.parametrize("form", FORMS)
def test_many_small_parameters_are_left_out_together(form: str) -> None:
    """No single one of them is long."""
    message = shrunk(item(form, {"post-params": {f"key_{n}": n for n in range(5000)}}), form, 2048)
    assert message.text.count(b"left out") == 1


def test_a_long_name_of_a_parameter_is_no_way_out() -> None:
    message = shrunk(item("json", {"get-params": {"k" * 900_000: 1}}), "json")
    assert orjson.loads(message.text)["request"]["get_params"].startswith("[left out: ")


@pytest.mark.parametrize("form", FORMS)
def test_what_does_not_fit_even_then_is_not_written(form: str) -> None:
    assert shrink(item(form, known_as="ual_" + "x" * 5000), HEADER, 2048, form) is None


HOSTILE = '\u2028\u202e\x00\x1f\x7f\x85|=\\]"\t\r\n<13>1 - '
FIELDS = ("path", "method", "user-agent", "ip-address", "get-params", "post-params", "context", "new")


def drawn(random: Random, depth: int = 0) -> Any:
    """Draw a value of any shape, with hostile text in it, now and then a long one."""
    kind = random.randrange(7 if depth < 3 else 4)
    if kind < 3:
        return "".join(random.choice(HOSTILE + "aé漢🛰") for _ in range(random.choice((0, 3, 30, 400, 3000))))
    if kind == 3:
        return random.choice((None, True, 7, -1.5))
    if kind == 4:
        return [drawn(random, depth + 1) for _ in range(random.randrange(4))]
    return {str(drawn(random, 3)): drawn(random, depth + 1) for _ in range(random.randrange(5))}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("longest", [4096, 8192])
def test_whatever_is_shrunk_is_valid_and_keeps_to_the_limit(form: str, longest: int) -> None:
    """One message, its structured data and its text read by parsers, whatever the event is made of."""
    shrinking = 0
    for seed in range(15):
        random = Random(seed)
        found = {name: drawn(random) for name in FIELDS if random.random() < 0.7}
        shrinking += is_valid(form, found, longest)
    assert shrinking >= 7, "most of these are too long to begin with"


def is_valid(form: str, found: Json, longest: int) -> bool:
    """Shrink an event of these attributes if it needs it, and judge the message; returns whether it did."""
    one = item(form, found)
    header = dataclasses.replace(HEADER, tabs=form.startswith("leef"))
    whole = write_message(one, header)
    if len(whole) <= longest:
        return False
    written = shrink(one, header, longest, form)
    assert written is not None
    assert len(written) <= longest
    message = parse(written)
    assert dict(message.data["persona@32473"])["id"] == "ual_1"
    read = fields(message.text, form)
    assert "ual_1" in (read.get("id"), read.get("externalId"), read.get("logId"))
    return True
