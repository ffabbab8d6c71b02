"""Names of instances and the variables that they own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.settings.names import RESERVED, Named, collisions, parse_entry, problem_of
from forwarder.variables import mapped

NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
SETTINGS = st.from_regex(r"[A-Z][A-Z0-9_]{0,6}", fullmatch=True)


def named(name: str) -> Named:
    return Named(name, "file", "FORWARDER_SINKS")


@given(NAMES, NAMES, SETTINGS, SETTINGS)
def test_two_accepted_names_never_read_one_variable(one: str, other: str, first: str, second: str) -> None:
    if not collisions([named(one), named(other)]):
        assert named(one).prefix + first != named(other).prefix + second


@given(NAMES, NAMES)
def test_two_refused_names_do_have_a_variable_in_common(one: str, other: str) -> None:
    """A refusal is never for nothing: there is a setting of each that makes one variable of the two."""
    if collisions([named(one), named(other)]):
        shared = max(named(one).prefix, named(other).prefix, key=len) + "X"
        assert shared.removeprefix(named(one).prefix) != shared
        assert shared.removeprefix(named(other).prefix) != shared


@given(st.lists(NAMES, max_size=5))
def test_collisions_do_not_depend_on_the_order(names: list[str]) -> None:
    forwards = collisions(named(name) for name in names)
    backwards = collisions(named(name) for name in reversed(names))
    assert len(forwards) == len(backwards)


@pytest.mark.parametrize(
    ("one", "other"), [("soc", "soc-ack"), ("soc-ack", "soc"), ("a-b", "a_b"), ("a", "a"), ("a", "a-")]
)
def test_a_collision_names_both(one: str, other: str) -> None:
    (problem,) = collisions([named(one), named(other)])
    assert repr(one) in problem.message
    assert repr(other) in problem.message


@pytest.mark.parametrize(("one", "other"), [("soc", "socks"), ("soc-eu", "soc-us"), ("a", "b-a")])
def test_names_that_only_look_alike_live_together(one: str, other: str) -> None:
    assert collisions([named(one), named(other)]) == []


def test_a_collision_over_both_lists_names_both_lists() -> None:
    (problem,) = collisions([Named("x", "persona", "FORWARDER_SOURCES"), named("x-y")])
    assert "FORWARDER_SOURCES and FORWARDER_SINKS" in problem.message


@pytest.mark.parametrize("word", sorted(RESERVED))
@pytest.mark.parametrize("end", ["", "-x", "_x"])
def test_a_reserved_word_is_no_name_and_begins_none(word: str, end: str) -> None:
    problem = problem_of(named(word + end), ["file"])
    assert problem is not None
    assert "reserved" in problem.message


@pytest.mark.parametrize("name", ["statement", "https", "logs", "portal", "sink", "redacted"])
def test_a_word_that_merely_begins_like_a_reserved_one_is_a_name(name: str) -> None:
    assert problem_of(named(name), ["file"]) is None


@pytest.mark.parametrize("name", ["", "Soc", "1st", "-x", "_x", "ä", "a b", "a.b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    problem = problem_of(named(name), ["file"])
    assert problem is not None
    assert "is not a name" in problem.message


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    problem = problem_of(parse_entry("soc=splunk", "FORWARDER_SINKS"), ["file", "splunk_hec"])
    assert problem is not None
    assert "soc=KIND with one of file, splunk_hec" in problem.message


def test_a_bare_name_is_its_own_kind_and_blanks_do_not_matter() -> None:
    assert parse_entry("kafka", "L") == Named("kafka", "kafka", "L")
    assert parse_entry(" soc = splunk_hec ", "L") == Named("soc", "splunk_hec", "L")


def test_a_name_maps_to_upper_case_with_underscores() -> None:
    assert mapped("soc-eu_1") == "SOC_EU_1"
