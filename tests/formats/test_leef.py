"""``leef`` and ``leef1``, judged by a parser written from IBM's guide."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forwarder.formats import FORMATS
from forwarder.record import AuditEvent, Json, parse_event
from forwarder.text import visible
from tests.formats.test_cef import ATTACK, TEXT, everywhere
from tests.formats.test_formats import COLLECTED, ODD, ORIGIN, event, resource

FORMS = pytest.mark.parametrize("form", ["leef", "leef1"])


def parsed(one: AuditEvent, form: str) -> tuple[list[str], dict[str, str]]:
    """Header fields and attributes, as the guide reads them: no escapes, tabs between, the first ``=`` ends a name."""
    written = FORMATS[form](one).decode()
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", written)
    version, _, _ = written.partition("|")
    fields = written.split("|", 6 if version == "LEEF:2.0" else 5)
    if version == "LEEF:2.0":
        assert fields[5] == "x09", "the delimiter is named, in hexadecimal"
    else:
        assert version == "LEEF:1.0"
    attributes: dict[str, str] = {}
    for attribute in fields[-1].split("\t"):
        name, equals, value = attribute.partition("=")
        assert re.fullmatch(r"[A-Za-z0-9]+", name), name
        assert equals
        assert name not in attributes, f"{name} stands twice"
        attributes[name] = value
    return fields[:5], attributes


@FORMS
def test_leef_is_the_documented_message(form: str) -> None:
    header, attributes = parsed(event(), form)
    assert header[1:] == ["Persona", "User Audit Log", "1", "POST /api/internal/dashboard/v1/cases/{id}"]
    assert attributes == {
        "cat": "API activity",
        "devTime": "Mar 01 2026 09:15:02.331 UTC",
        "devTimeFormat": "MMM dd yyyy HH:mm:ss.SSS z",
        "sev": "2",
        "src": "203.0.113.7",
        "usrName": "ann@example.com",
        "accountName": "user_1",
        "url": "/api/internal/dashboard/v1/cases/case_ABC123?tab=1",
        "logId": "ual_1",
        "requestMethod": "POST",
        "httpStatus": "200",
        "outcome": "success",
        "action": "created",
        "sessionId": "uses_1",
        "userFullName": "Ann Lee",
        "userAgent": "Mozilla/5.0",
        "organization": "org_1",
        "environment": "env_1",
        "queryParams": '{"tab":"1"}',
        "postParams": '{"note":"x"}',
    }


@FORMS
@example(text=ATTACK)
@example(text="x\tsev=10\tsev=1")
@given(text=TEXT)
def test_an_attack_in_every_field_comes_out_as_data(form: str, text: str) -> None:
    header, attributes = parsed(everywhere(text), form)
    assert (header[1], header[2], attributes["sev"]) == ("Persona", "User Audit Log", "2" if not text else "4")
    shown = visible(text)
    if text:
        assert attributes["url"] == attributes["userAgent"] == attributes["sessionId"] == shown
        assert attributes.get("clientAddress", shown) == shown


@FORMS
def test_an_event_name_is_a_template_and_short(form: str) -> None:
    header, _ = parsed(event(resource(path="/a|b\\/case_1A/" + "é" * 400)), form)
    assert header[4].startswith("POST /a%7Cb%5C/{id}/é")
    assert len(header[4].encode()) <= 255


@FORMS
@pytest.mark.parametrize(("status", "sev"), [(200, "2"), (404, "4"), (401, "7"), (503, "7")])
def test_severity_follows_the_status(form: str, status: int, sev: str) -> None:
    assert parsed(event(resource(**{"response-status": status})), form)[1]["sev"] == sev


@FORMS
def test_what_is_no_address_is_not_called_one(form: str) -> None:
    _, six = parsed(event(resource(**{"ip-address": "2001:db8::1"})), form)
    assert six["src"] == "2001:db8::1"
    _, none = parsed(event(resource(**{"ip-address": "home"})), form)
    assert "src" not in none
    assert none["clientAddress"] == "home"


@FORMS
@given(found=ODD, user=st.none() | st.fixed_dictionaries({}, optional={"id": st.text()}))
def test_whatever_persona_sends_is_one_message(form: str, found: Json, user: Json | None) -> None:
    one = parse_event(found, origin=ORIGIN, collected_at=COLLECTED, user=user)
    assert parsed(one, form)[1]["cat"] == "API activity"
