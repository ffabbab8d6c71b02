"""The simulated organization: the same seed makes the same log, in Persona's order."""

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.clock import SECOND, format_rfc3339, parse_rfc3339
from forwarder.record import Json, Origin, created_at, parse_event
from forwarder.simulator import RETENTION, World
from forwarder.simulator.activity import Activity
from forwarder.simulator.identifiers import Identifiers
from forwarder.simulator.workweek import DAY

NOW = parse_rfc3339("2026-03-04T12:00:00Z") or 0


class SetClock:
    """A wall clock that stands where the test puts it."""

    def __init__(self, now: int = NOW) -> None:
        self.micros = now

    def now(self) -> int:
        return self.micros

    def monotonic(self) -> float:
        return self.micros / SECOND


def world(**settings: Any) -> World:
    defaults: dict[str, Any] = {"clock": SetClock(), "records": 2000}
    return World(**(defaults | settings))


def shown(a_world: World) -> list[Json]:
    return [resource for resource, _ in a_world.slice(0, len(a_world))]


def test_the_same_seed_makes_the_same_log_and_another_seed_another() -> None:
    assert orjson.dumps(shown(world(seed=7))) == orjson.dumps(shown(world(seed=7)))
    assert not {one["id"] for one in shown(world(seed=7))} & {one["id"] for one in shown(world(seed=8))}


def test_the_list_is_newest_first_without_a_repeated_id_and_ends_before_now() -> None:
    times = [created_at(one) or 0 for one in shown(world())]
    assert times == sorted(times, reverse=True)
    assert len({one["id"] for one in shown(world())}) == len(times) == 2000
    assert NOW - 30 * DAY <= times[-1] <= times[0] <= NOW


def test_nights_and_weekends_are_quiet() -> None:
    made = [datetime.fromtimestamp((created_at(one) or 0) / SECOND, UTC) for one in shown(world(records=5000))]
    weekend = sum(moment.weekday() >= 5 for moment in made)
    night = sum(moment.hour < 5 for moment in made)
    assert 0 < weekend < 500
    assert 0 < night < 250


def test_every_kind_of_story_that_a_detection_looks_for_is_told() -> None:
    events = [parse_event(one, origin=Origin("persona"), collected_at=NOW) for one in shown(world(records=4000))]
    assert not any(event.malformed for event in events)
    routes = {(event.method, event.route) for event in events}
    internal = "/api/internal/dashboard/v1"
    assert {
        ("GET", "/api/v1/inquiries"),
        ("GET", f"{internal}/user-sessions/{{id}}/expire"),
        ("GET", f"{internal}/cases/{{id}}"),
        ("POST", f"{internal}/cases/{{id}}"),
        ("POST", f"{internal}/inquiries"),
        ("DELETE", "/api/v1/inquiries/{id}"),
        ("GET", "/api/v1/user-audit-logs"),
        ("POST", "/api/v1/accounts/search"),
    } <= routes
    assert {event.status for event in events} == {200, 201, 401, 403}
    assert any(event.impersonator_email for event in events)
    assert any(event.post_params == "[FILTERED]" for event in events)
    assert any(":" in (event.client_ip or "") for event in events)
    assert any(event.client_ip is None for event in events)
    for event in events:
        created = (event.method, event.path) == ("POST", f"{internal}/inquiries")
        assert ("inquiry-id" in event.context) == created
        if event.route == f"{internal}/user-sessions/{{id}}/expire":
            assert event.post_params["data"]["type"] == "user-session"
    addresses = {(event.session_id, event.client_ip) for event in events}
    assert Counter(session for session, _ in addresses).most_common(1)[0][1] > 1


def test_names_are_of_the_whole_world() -> None:
    names = "".join(one.resource["attributes"]["name-last"] for one in Activity(1).employees)
    assert not names.isascii()


def test_whole_stretches_bear_one_instant() -> None:
    times = Counter(created_at(one) for one in shown(world()))
    assert times.most_common(1)[0][1] >= 32


def test_odd_records_are_hard_to_read_and_keep_their_ids() -> None:
    plain, odd = shown(world(records=500)), shown(world(records=500, odd=0.5))
    assert [one["id"] for one in plain] == [one["id"] for one in odd]
    events = [parse_event(one, origin=Origin("persona"), collected_at=NOW) for one in odd]
    assert 20 < sum(event.malformed for event in events) < 200
    assert any(event.user_id is None for event in events)
    assert any("risk-signals" in event.extra for event in events)
    assert any(isinstance(event.get_params, str) for event in events)


def test_appended_records_come_first_and_continue_the_count() -> None:
    a_world = world(records=10)
    made = a_world.append(3)
    assert a_world.listed()[:3] == made[::-1]
    assert list(a_world.ids())[-3:] == made
    assert a_world.made == 13


def test_the_order_survives_a_clock_that_is_set_back() -> None:
    clock = SetClock()
    a_world = world(clock=clock, records=0)
    [first] = a_world.append()
    clock.micros -= 3600 * SECOND
    [second] = a_world.append()
    assert a_world.listed() == [second, first]


def test_a_late_record_appears_when_it_is_due_at_the_place_of_its_date() -> None:
    clock = SetClock()
    a_world = world(clock=clock, records=0)
    [old] = a_world.append(visible_in=0)
    clock.micros += 10 * SECOND
    [late] = a_world.append(visible_in=30)
    clock.micros += 10 * SECOND
    [new] = a_world.append(visible_in=0)
    [dated_back] = a_world.append(created_ago=15, visible_in=0)
    assert a_world.listed() == [new, dated_back, old]
    assert (a_world.hidden, a_world.position(late)) == (1, None)
    clock.micros += 20 * SECOND
    assert a_world.listed() == [new, late, dated_back, old]
    assert (a_world.hidden, a_world.position(late)) == (0, 2)


def test_the_share_of_late_records_is_as_asked_for() -> None:
    a_world = world(records=0, late=0.1, late_by=60)
    a_world.append(2000)
    assert 150 < a_world.hidden < 250
    a_world.clock.micros += 60 * SECOND  # type: ignore[attr-defined] # the test's own clock
    assert len(a_world) == 2000


def test_records_leave_after_six_months() -> None:
    clock = SetClock()
    a_world = world(clock=clock, records=1000)
    everything = a_world.listed()
    clock.micros += RETENTION - 10 * DAY
    left = a_world.listed()
    assert 0 < len(left) < 1000
    assert left == everything[: len(left)]
    assert a_world.expired == 1000 - len(left)
    assert a_world.position(everything[-1]) is None
    assert a_world.made == 1000


def test_a_position_is_that_of_the_list_even_among_equal_times() -> None:
    a_world = world()
    assert [a_world.position(one) for one in a_world.listed()] == list(range(1999, -1, -1))


@pytest.mark.parametrize(
    "foreign", ["ual_ABC123ABC", "", "ual_" + "z" * 24, "user_" + "1" * 24, Identifiers(2).record(3)]
)
def test_an_id_of_another_world_has_no_position(foreign: str) -> None:
    assert world(seed=1).position(foreign) is None


@given(st.integers(0, 1 << 31), st.integers())
def test_a_record_can_be_found_by_its_id(index: int, seed: int) -> None:
    ids = Identifiers(seed)
    assert ids.index_of(ids.record(index)) == index
    assert len(ids.record(index)) == len("ual_") + 24


def test_some_ids_can_be_as_odd_as_one_likes() -> None:
    a_world = World(records=3, odd_ids={0: ".", 2: "a/b"})
    assert [a_world.position(id_) for id_ in a_world.ids()] == [0, 1, 2]
    assert [resource["id"] for resource, _ in a_world.slice(0, 3)] == ["a/b", *a_world.listed()[1:]]


def test_a_million_records_are_ready_within_seconds() -> None:
    began = time.perf_counter()
    a_world = world(records=1_000_000, days=170)
    assert len(a_world) == 1_000_000
    [(newest, _)] = a_world.slice(999_999, 1_000_000)
    assert time.perf_counter() - began < 10
    assert newest["attributes"]["created-at"] <= format_rfc3339(NOW)
