"""An event as an RFC 5424 message, judged by a parser written from the RFC's grammar."""

import dataclasses
import re
import socket
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forwarder.severity import parse_row
from forwarder.sinks.base import Item
from forwarder.sinks.syslog.message import Header, header_field, structured_data, write_message
from forwarder.text import visible
from tests.sinks.contract import ODD, make_items
from tests.sinks.syslog_grammar import parse

HEADER = Header(facility=13, hostname="host.example", app_name="persona", structured_data_id="persona@32473")
NASTY = '" \\ ] \\" \\] [x@1 y="z"] = \n<13>1 - - - - - - forged\r\n\x00\x1b[31m\x7f\x85\u2028\u2029é漢🛰\u202e'


def changed(item: Item, **fields: Any) -> Item:
    """Give *item*'s event other fields."""
    return Item(item.seq, dataclasses.replace(item.event, **fields), item.body)


def test_a_message_says_when_where_what_and_who() -> None:
    [item] = make_items(1)
    item = changed(item, user_email="a@example.com", session_id="uses_1")
    message = parse(write_message(item, HEADER))
    assert (message.facility, message.severity, message.time) == (13, 6, "2026-03-01T09:15:02.331Z")
    assert (message.host, message.app, message.proc, message.msgid) == ("host.example", "persona", "-", "API")
    assert message.data == {
        "persona@32473": [
            ("id", "ual_000001"),
            ("seq", "1"),
            ("method", "POST"),
            ("path", "/api/internal/dashboard/v1/cases/case_000001A"),
            ("status", "200"),
            ("ip", "203.0.113.7"),
            ("uid", "user_1"),
            ("user", "a@example.com"),
            ("session", "uses_1"),
        ],
    }
    assert orjson.loads(message.text) == orjson.loads(item.body)


def test_no_byte_order_mark_breaks_the_json() -> None:
    [item] = make_items(1)
    assert parse(write_message(item, HEADER)).text.startswith(b'{"id":')


@example(text=NASTY)
@example(text=ODD)
@given(text=st.text())
def test_no_event_can_forge_a_line_or_a_field(text: str) -> None:
    """Whatever it holds, there is one message, one element, and no control character."""
    [item] = make_items(1, text=text)
    item = changed(item, id=text, path=text, method=text, client_ip=text, user_email=text, status=text)
    written = write_message(item, HEADER)
    message = parse(written)
    assert [key for key, _ in message.data["persona@32473"]].count("id") == 1
    assert len(message.data) == 1
    assert not any(unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in written.decode())
    assert written.decode().splitlines() == [written.decode()]
    assert orjson.loads(message.text) == orjson.loads(item.body)


@example(text=NASTY)
@given(text=st.text())
def test_a_value_comes_back_as_it_was_shown(text: str) -> None:
    """Escaping is undone by the RFC's own rule, whatever brackets, quotes and backslashes it holds."""
    element = structured_data("a@1", {"k": text, "none": None, "n": 7, "list": ["x"]})
    message = f"<0>1 - - - - - {element} m".encode()
    assert parse(message).data == {"a@1": [("k", visible(text)), ("n", "7"), ("list", '["x"]')]}


@given(text=st.text(), longest=st.sampled_from([32, 48, 255]))
def test_a_header_field_fits_the_grammar(text: str, longest: int) -> None:
    """Any text, this machine's own name included, becomes one field."""
    assert re.fullmatch(r"[!-~]+", header_field(text, longest))
    assert len(header_field(text, longest)) <= longest


def test_what_fits_a_header_is_left_as_it_is() -> None:
    assert header_field("host-1.example", 255) == "host-1.example"
    assert header_field("", 255) == "-"
    assert header_field("my host\n", 255) == "my_host_"
    parse(
        write_message(make_items(1)[0], dataclasses.replace(HEADER, hostname=header_field(socket.gethostname(), 255)))
    )


def test_an_event_without_anything_is_still_a_message() -> None:
    [item] = make_items(1)
    nothing = {
        field.name: None
        for field in dataclasses.fields(item.event)
        if field.name not in {"id", "collected_at", "origin", "extra", "malformed", "resource"}
    }
    message = parse(write_message(changed(item, **nothing), HEADER))
    assert message.data == {"persona@32473": [("id", "ual_000001"), ("seq", "1")]}
    assert message.time == "2026-03-01T09:15:03.000Z"


def test_bytes_that_are_no_text_are_still_one_message() -> None:
    """A format of somebody else's may write anything."""
    [item] = make_items(1)
    message = parse(write_message(Item(1, item.event, b"\xff\xfe\n<13>1 forged"), HEADER))
    assert message.text.decode() == "\ufffd\ufffd\\u000a<13>1 forged"


OLD = dataclasses.replace(HEADER, rfc="3164")


def test_rfc_3164_has_a_padded_day_in_utc_and_a_tag() -> None:
    """``<PRI>Mmm dd hh:mm:ss HOST TAG: msg``; a day of one digit has a space before it."""
    [item] = make_items(1)
    body = item.body.decode()
    assert write_message(item, OLD).decode() == f"<110>Mar  1 09:15:02 host.example persona: {visible(body)}"
    late = changed(item, occurred_at=1_798_761_599_999_000)
    assert write_message(late, OLD).startswith(b"<110>Dec 31 23:59:59 host.example persona: {")


@example(text=NASTY)
@given(text=st.text())
def test_no_event_forges_a_line_in_rfc_3164(text: str) -> None:
    [item] = make_items(1, text=text)
    written = write_message(changed(item, id=text, path=text, method=text, client_ip=text, status=text), OLD).decode()
    assert re.fullmatch(r"<110>Mar  1 09:15:02 host\.example persona: \{.*\}", written)
    assert not any(unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in written)


def test_a_byte_order_mark_is_there_for_who_asks() -> None:
    [item] = make_items(1)
    assert parse(write_message(item, dataclasses.replace(HEADER, byte_order_mark=True))).text.startswith(
        b"\xef\xbb\xbf{"
    )


def test_the_priority_follows_the_operators_table() -> None:
    [item] = make_items(1)
    header = dataclasses.replace(HEADER, facility=16, severities=[parse_row("2xx=debug")])
    assert parse(write_message(item, header)).severity == 7
    denied = parse(write_message(changed(item, status=403), header))
    assert (denied.facility, denied.severity) == (16, 4)


@pytest.mark.parametrize("form", ["cef", "leef", "leef1"])
def test_other_formats_stand_in_the_text_as_they_are(form: str) -> None:
    """What separates the attributes of LEEF stays a tab, and there is no other control character."""
    [item] = make_items(1, form=form, text=NASTY)
    written = parse(write_message(item, dataclasses.replace(HEADER, tabs=form.startswith("leef")))).text
    assert written == item.body
    assert {char for char in written.decode() if unicodedata.category(char) == "Cc"} <= {"\t"}
