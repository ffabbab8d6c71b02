"""``json`` and ``raw``: what they say, and that no content breaks them."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.clock import parse_rfc3339
from forwarder.formats import FORMATS, PLANNED
from forwarder.record import AuditEvent, Json, Origin, parse_event
from forwarder.sinks.base import SinkSettings

CREATED = "2026-03-01T09:15:02.331Z"
COLLECTED = parse_rfc3339("2026-03-01T09:15:30.5Z") or 0
ORIGIN = Origin("persona", "org_1", "env_1")
USER = {
    "type": "user",
    "id": "user_1",
    "attributes": {"email-address": "ann@example.com", "name-first": "Ann", "name-last": "Lee"},
}


def resource(**attributes: Any) -> Json:
    """A whole record, as Persona's reference shows it."""
    return {
        "type": "user-audit-log",
        "id": "ual_1",
        "attributes": {
            "created-at": CREATED,
            "method": "POST",
            "path": "/api/internal/dashboard/v1/cases/case_ABC123?tab=1",
            "response-status": 200,
            "get-params": {"tab": "1"},
            "post-params": {"note": "x"},
            "ip-address": "203.0.113.7",
            "user-agent": "Mozilla/5.0",
            "impersonator-email-address": None,
            "context": {},
            **attributes,
        },
        "relationships": {
            "user": {"data": {"type": "user", "id": "user_1"}},
            "user-session": {"data": {"type": "user-session", "id": "uses_1"}},
        },
    }


def event(found: Json | None = None, user: Json | None = USER) -> AuditEvent:
    return parse_event(found or resource(), origin=ORIGIN, collected_at=COLLECTED, user=user)


def as_json(one: AuditEvent, form: str = "json") -> dict[str, Any]:
    """What a reader of the line gets."""
    read: dict[str, Any] = json.loads(FORMATS[form](one))
    return read


def test_json_is_the_documented_object() -> None:
    """Every key, its value, and their order."""
    expected = {
        "id": "ual_1",
        "occurred_at": CREATED,
        "collected_at": "2026-03-01T09:15:30.500Z",
        "source": {"name": "persona", "organization_id": "org_1", "environment_id": "env_1"},
        "user": {"id": "user_1", "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee"},
        "session_id": "uses_1",
        "impersonator_email": None,
        "client": {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"},
        "request": {
            "method": "POST",
            "path": "/api/internal/dashboard/v1/cases/case_ABC123?tab=1",
            "route": "/api/internal/dashboard/v1/cases/{id}",
            "status": 200,
            "get_params": {"tab": "1"},
            "post_params": {"note": "x"},
        },
        "context": {},
        "extra": {},
    }
    found = as_json(event())
    assert found == expected
    assert [*found] == [*expected]
    assert [*found["request"]] == [*expected["request"]]  # type: ignore[misc] # it is an object


def test_what_analysts_search_by_comes_before_the_bulk() -> None:
    """Splunk extracts fields from the first 5,000 bytes only, and a customer's parameters may be megabytes."""
    line = FORMATS["json"](event(resource(**{"post-params": {"note": "x" * 100_000}, "get-params": {"a": "y" * 9000}})))
    for key in (b'"id"', b'"occurred_at"', b'"user"', b'"client"', b'"method"', b'"path"', b'"route"', b'"status"'):
        assert 0 <= line.find(key) < 5000, key


def test_an_unknown_attribute_is_kept_verbatim_under_extra() -> None:
    assert as_json(event(resource(brand={"new": [1, None]})))["extra"] == {"brand": {"new": [1, None]}}


def test_a_wrong_date_and_an_unexpected_type_are_marked_and_kept() -> None:
    """Nothing that Persona said is dropped."""
    found = as_json(event(resource(**{"created-at": "yesterday"})))
    assert (found["malformed"], found["occurred_at"], found["extra"]) == (True, None, {"created-at": "yesterday"})
    assert as_json(event({**resource(), "type": "something"}))["malformed"] is True
    assert "malformed" not in as_json(event())


def test_an_event_without_a_user_says_so() -> None:
    """A null, not an object of nulls; one whose resource is unknown still has its id."""
    bare = {**resource(), "relationships": {"user": {"data": None}}}
    assert as_json(event(bare, None))["user"] is None
    unknown = as_json(event(resource(), None))["user"]
    assert unknown == {"id": "user_1", "email": None, "first_name": None, "last_name": None}


def test_a_record_with_an_id_alone_is_forwarded() -> None:
    found = as_json(parse_event({"id": "ual_9"}, origin=Origin("persona"), collected_at=COLLECTED))
    assert (found["id"], found["malformed"], found["request"]["path"]) == ("ual_9", True, None)
    assert (found["request"]["get_params"], found["context"], found["extra"]) == ({}, {}, {})


def test_raw_is_the_resource_as_received_with_its_user_joined() -> None:
    """Byte for byte what JSON keeps: key order too."""
    assert as_json(event(), "raw") == resource() | {"user": USER}
    assert FORMATS["raw"](event(user=None)) == orjson.dumps(resource() | {"user": None})


def test_every_format_name_is_made_or_planned() -> None:
    """A setting that is accepted is one that can be written, or one that says that it will be."""
    names = set(SinkSettings.model_json_schema()["properties"]["format"]["enum"])
    assert names == set(FORMATS) | PLANNED
    assert not set(FORMATS) & PLANNED


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["created-at", "method", "path", "response-status", "get-params", "post-params", "ip-address", "context", "new"]
    ),
    JSON,
)
ODD = st.fixed_dictionaries(
    {"id": st.text(min_size=1)},
    optional={
        "type": JSON,
        "attributes": ATTRIBUTES | JSON,
        "relationships": st.dictionaries(st.sampled_from(["user", "user-session"]), JSON) | JSON,
    },
)


@pytest.mark.parametrize("form", ["json", "raw"])
@given(found=ODD, user=st.none() | st.fixed_dictionaries({}, optional={"attributes": ATTRIBUTES | JSON, "id": JSON}))
def test_whatever_persona_sends_becomes_one_line_of_json(form: str, found: Json, user: Json | None) -> None:
    """Of any type in any place; nothing raises, nothing breaks the line, the id survives."""
    found = orjson.loads(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS))
    line = FORMATS[form](parse_event(found, origin=ORIGIN, collected_at=COLLECTED, user=user))
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line)["id"] == found["id"]


@given(params=JSON, extra=JSON)
def test_what_a_customer_wrote_arrives_as_it_was(params: Any, extra: Any) -> None:
    found = as_json(event(resource(**{"post-params": params, "new": extra})))
    assert found["request"]["post_params"] == ({} if params is None else params)
    assert found["extra"] == {"new": extra}


@pytest.mark.parametrize("year", ["0001", "1969", "9999"])
def test_dates_far_away_are_written_as_they_were(year: str) -> None:
    created = f"{year}-12-31T23:59:59.999Z"
    assert as_json(event(resource(**{"created-at": created})))["occurred_at"] == created
