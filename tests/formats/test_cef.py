r"""``cef``, judged by Vector's own parser, which reads the standard right, but gives back ``\r`` as a line feed."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vrl_python import VRLRuntime

from forwarder.formats import FORMATS
from forwarder.record import AuditEvent, Json, Origin, parse_event
from forwarder.text import visible
from tests.formats.test_formats import COLLECTED, ODD, ORIGIN, event, resource

ATTACK = "a|b\\c=d \\| \\= \\n \r\n<14>1 - - - - - forged CEF:0|x|y act=spoofed\x00\x1b[31m\x85\u2028\u202eé漢🛰 \\"
FREE_TEXT = ("suser", "request", "requestMethod", "requestClientApplication", "cs1", "cs6", "shost")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def parsed(one: AuditEvent) -> dict[str, str]:
    """What Vector's parser finds; it refuses what is no CEF."""
    written = FORMATS["cef"](one)
    assert not set(b"\r\n\x00\x1b") & set(written)
    found = VRLRuntime.run(". = parse_cef!(string!(.message))", {"message": written.decode()}, "UTC").processed_event
    return {key: str(value) for key, value in found.items()}


def everywhere(text: str) -> AuditEvent:
    """Put *text* into every field that Persona fills."""
    user: Json = {"attributes": {"email-address": text, "name-first": text, "name-last": text}}
    where = dict.fromkeys(("path", "method", "ip-address", "user-agent", "impersonator-email-address"), text)
    bags = {name: {text: text} for name in ("get-params", "post-params", "context")}
    found = {**resource(**where, **bags, new=text), "id": text or "ual_1"}
    found["relationships"] = {name: {"data": {"id": text}} for name in ("user", "user-session")}
    return parse_event(found, origin=Origin("persona", text, text), collected_at=COLLECTED, user=user)


def read_back(text: str) -> str:
    """What a reader gets of *text*: control characters shown, CR as LF (see above)."""
    return visible(text, but="\r\n").replace("\r", "\n")


def test_cef_is_the_documented_message() -> None:
    assert parsed(event()) == {
        "cefVersion": "0",
        "deviceVendor": "Persona",
        "deviceProduct": "User Audit Log",
        "deviceVersion": "1",
        "deviceEventClassId": "POST /api/internal/dashboard/v1/cases/{id}",
        "name": "API request",
        "severity": "3",
        "rt": "1772356502331",
        "externalId": "ual_1",
        "src": "203.0.113.7",
        "suser": "ann@example.com",
        "suid": "user_1",
        "requestMethod": "POST",
        "request": "/api/internal/dashboard/v1/cases/case_ABC123?tab=1",
        "requestClientApplication": "Mozilla/5.0",
        "outcome": "success",
        "act": "created",
        "cn1": "200",
        "cn1Label": "HTTP Status",
        "cs1": "uses_1",
        "cs1Label": "Session ID",
        "cs2": '{"tab":"1"}',
        "cs2Label": "Query Params",
        "cs3": '{"note":"x"}',
        "cs3Label": "Post Params",
        "cs5": "Ann Lee",
        "cs5Label": "User Full Name",
        "app": "HTTPS",
        "cat": "API activity",
        "deviceExternalId": "env_1",
        "sourceServiceName": "persona",
    }


@example(text=ATTACK)
@example(text=" act=spoofed")
@given(text=TEXT)
def test_an_attack_in_every_field_comes_out_as_data(text: str) -> None:
    """Nothing adds a field, ends one, or starts a line; each value reads back as it was.

    In brackets, since the parser takes a ``|`` from the end of a value, and quotes from around it.
    """
    text = f"({text})"
    one = everywhere(text)
    found = parsed(one)
    assert found.keys() <= parsed(everywhere("x")).keys() | {"devicePayloadId"}
    assert (found["act"], found["app"], found["name"]) == ("other", "HTTPS", "API request")
    assert {found[key] for key in FREE_TEXT} == {read_back(text)}
    assert found["cs5"] == read_back(f"{text} {text}")


@pytest.mark.parametrize("text", ["a\\", "a\\\\", "a=", "\\=", "  a  ", "a\n", "a b=c", "a\\ act=spoofed"])
def test_the_ends_of_a_value_are_no_way_out(text: str) -> None:
    """Spaces there would be lost to readers, and are not written."""
    found = parsed(everywhere(text))
    assert found["act"] == "other"
    assert {found[key].strip() for key in FREE_TEXT} == {text.strip()}


@example(text=ATTACK)
@given(text=TEXT)
def test_a_key_stands_once(text: str) -> None:
    """As the parser has no list of them, the text is asked: what is no value's ``=`` ends a key."""
    written = FORMATS["cef"](everywhere(text)).decode().replace("\\\\", "").replace("\\=", "")
    keys = [part.rpartition(" ")[2] for part in written.split("|API request|", 1)[1].split("=")[:-1]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", {"src": "203.0.113.7"}),
        ("2001:db8::1", {"c6a2": "2001:db8::1", "c6a2Label": "Source IPv6 Address"}),
        ("localhost", {"shost": "localhost"}),
        (None, {}),
        (7, {"shost": "7"}),
    ],
)
def test_the_key_of_an_address_is_that_of_its_kind(address: Any, expected: dict[str, str]) -> None:
    """``src`` takes IPv4 alone in version 0."""
    found = parsed(event(resource(**{"ip-address": address})))
    assert {key: found[key] for key in found.keys() & {"src", "shost", "c6a2", "c6a2Label"}} == expected


@pytest.mark.parametrize(
    ("status", "severity", "outcome"),
    [(200, "3", "success"), (302, "3", "success"), (404, "4", "failure"), (403, "6", "failure"), (500, "6", "failure")],
)
def test_severity_and_outcome_follow_the_status(status: int, severity: str, outcome: str) -> None:
    found = parsed(event(resource(**{"response-status": status})))
    assert (found["severity"], found["outcome"]) == (severity, outcome)
    assert ("reason" in found) == (outcome == "failure")


@pytest.mark.parametrize(
    ("method", "path", "act"),
    [
        ("GET", "/a", "read"),
        ("POST", "/api/v1/cases", "created"),
        ("POST", "/api/v1/inquiries/inq_1A/approve", "updated"),
        ("POST", "/api/v1/inquiries/inq_1A/comments", "created"),
        ("PATCH", "/a", "updated"),
        ("DELETE", "/a", "deleted"),
        ("TRACE", "/a", "other"),
        (None, None, "other"),
    ],
)
def test_the_act_is_what_was_done_to_the_object(method: str | None, path: str | None, act: str) -> None:
    assert parsed(event(resource(method=method, path=path)))["act"] == act


def test_the_signature_id_is_the_same_for_every_object() -> None:
    """A SIEM's list of event names stays small."""
    ids = {
        parsed(event(resource(path=f"/api/v1/cases/case_{n}A/files/{n}")))["deviceEventClassId"]
        for n in range(100, 120)
    }
    assert ids == {"POST /api/v1/cases/{id}/files/{id}"}


def test_values_are_cut_to_the_lengths_of_the_standard_between_two_characters() -> None:
    """In bytes, before escaping."""
    found = parsed(event(resource(path="/" + "漢" * 5000, **{"post-params": {"a": "=" * 9000}})))
    assert len(found["request"].encode()) == 1 + 340 * 3 + 0
    assert len(found["cs3"]) == 4000
    assert len(found["deviceEventClassId"].encode()) <= 1023


def test_a_long_id_keeps_its_place_by_its_hash_and_stands_whole_elsewhere() -> None:
    long = "ual_" + "x" * 60
    found = parsed(event({**resource(), "id": long}))
    assert len(found["externalId"]) == 40
    assert found["devicePayloadId"] == long
    other = parsed(event({**resource(), "id": long + "y"}))
    assert other["externalId"] != found["externalId"]


def test_an_impersonator_and_what_is_new_are_not_lost() -> None:
    found = parsed(event(resource(**{"impersonator-email-address": "staff@example.com"}, brand="new")))
    assert (found["cs6"], found["cs6Label"], found["severity"]) == ("staff@example.com", "Impersonator", "4")
    assert found["flexString1"] == '{"brand":"new"}'


@given(found=ODD, user=st.none() | st.fixed_dictionaries({}, optional={"id": st.text()}))
def test_whatever_persona_sends_is_one_message(found: Json, user: Json | None) -> None:
    """Of any type in any place."""
    one = parse_event(found, origin=ORIGIN, collected_at=COLLECTED, user=user)
    assert parsed(one)["name"] == "API request"
