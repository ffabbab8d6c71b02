"""The filters of a sink: what they take, and what is a mistake."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.delivery.filters import Filter, parse_filter, selects
from forwarder.record import AuditEvent, Origin, parse_event


def event(method: Any = "GET", path: Any = "/api/internal/cases/case_1") -> AuditEvent:
    resource = {"type": "user-audit-log", "id": "ual_1", "attributes": {"method": method, "path": path}}
    return parse_event(resource, origin=Origin("persona"), collected_at=0)


@pytest.mark.parametrize(
    ("text", "method", "path", "expected"),
    [
        ("*", "GET", "/anything", True),
        ("/api/*", "GET", "/api/a/b/c", True),
        ("/api/*", "GET", "/apix", False),
        ("/api", "GET", "/api", True),
        ("/api", "GET", "/api/", False),
        ("*/cases/*", "POST", "/api/internal/cases/case_1", True),
        ("*/cases/*", "POST", "/api/internal/cases", False),
        ("POST|DELETE */cases/*", "DELETE", "/x/cases/1", True),
        ("POST|DELETE */cases/*", "GET", "/x/cases/1", False),
        ("post /x", "POST", "/x", True),
        ("POST /x", "post", "/x", True),
        ("/X", "GET", "/x", False),
        ("/a*a", "GET", "/a", False),
        ("/ab*ba", "GET", "/aba", False),
        ("*a*b*c*", "GET", "/abc", True),
        ("*a*b*c*", "GET", "/acb", False),
        ("/a[b]c", "GET", "/a[b]c", True),
        ("/a[b]c", "GET", "/abc", False),
        ("/x", "GET", "/x?secret=1", True),
        ("/x", "GET", "/x#part", True),
        ("*secret*", "GET", "/x?secret=1", False),
    ],
)
def test_a_filter_takes_methods_and_globs(text: str, method: str, path: str, expected: bool) -> None:
    """A star runs over slashes; the whole path without its query is compared."""
    assert selects([parse_filter(text)], [], event(method, path)) is expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write `/path/*`"),
        ("GET /a /b", "is not a filter"),
        ("FETCH /a", "'FETCH' is not an HTTP method"),
        ("GET|/a", "begins with"),
        ("GET| /a", "'nothing' is not an HTTP method"),
        ("GET", "write `GET *`"),
        ("get", "write `GET *`"),
        ("api/*", "write `/api/*`"),
        ("/a?b=1", "without their query"),
        ("/a#b", "without their query"),
    ],
)
def test_a_mistaken_filter_is_refused_with_the_way_to_write_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_filter(text)


def test_exclude_wins_over_include() -> None:
    include, exclude = [parse_filter("/api/*")], [parse_filter("GET /api/internal/*")]
    assert not selects(include, exclude, event("GET", "/api/internal/x"))
    assert selects(include, exclude, event("POST", "/api/internal/x"))
    assert not selects(include, exclude, event("POST", "/elsewhere"))


def test_without_an_include_everything_is_taken() -> None:
    assert selects([], [], event())
    assert selects([], [parse_filter("POST *")], event("GET"))


@pytest.mark.parametrize("path", [None, 7, ["/x"]])
def test_an_event_without_a_path_is_matched_by_the_star_alone(path: Any) -> None:
    """A filter never claims what it cannot see."""
    assert selects([parse_filter("*")], [], event("GET", path))
    assert selects([parse_filter("GET *")], [], event("GET", path))
    assert not selects([parse_filter("/*")], [], event("GET", path))
    assert selects([], [parse_filter("/*")], event("GET", path))


@pytest.mark.parametrize("method", [None, 7])
def test_an_event_without_a_method_is_matched_by_filters_that_name_none(method: Any) -> None:
    assert selects([parse_filter("/x")], [], event(method, "/x"))
    assert not selects([parse_filter("GET *")], [], event(method, "/x"))
    assert selects([], [parse_filter("GET *")], event(method, "/x"))


@given(glob=st.text("ab/*", min_size=1, max_size=8), path=st.text("ab/", max_size=10))
def test_a_glob_matches_as_the_plain_regular_expression_would(glob: str, path: str) -> None:
    """Searching piece by piece says the same as ``.*`` between the pieces."""
    glob = "*" + glob
    found: Filter = parse_filter(glob)
    expected = re.fullmatch(".*".join(map(re.escape, glob.split("*"))), path) is not None
    assert found.matches("GET", path) is expected


def test_a_hostile_path_costs_linear_time() -> None:
    """Twelve stars against a hundred thousand characters end at once; a regular expression would not."""
    assert not parse_filter("*" + "a*" * 12 + "b").matches("GET", "/" + "a" * 100_000)
