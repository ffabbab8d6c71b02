"""The demonstration's judge finds what is wrong, and passes what is right."""

from typing import Any

import orjson
import pytest

from forwarder.cli.demonstration.judge import Findings, Verdict, compare, id_of


def line(event_id: str) -> bytes:
    return orjson.dumps({"id": event_id, "source": {}}) + b"\n"


def verdict(**changes: Any) -> Verdict:
    settings: dict[str, Any] = {
        "findings": Findings(made=10, delivered=10, missing=(), duplicates=0, strangers=0, unreadable=0),
        "killed_at": (4,),
        "in_flight": 5,
        "seconds": 2.0,
        "fastest": 7.4,
        "exit_status": 0,
    }
    return Verdict(**(settings | changes))


def findings(**changes: Any) -> Findings:
    right: dict[str, Any] = {
        "made": 10,
        "delivered": 10,
        "missing": (),
        "duplicates": 0,
        "strangers": 0,
        "unreadable": 0,
    }
    return Findings(**(right | changes))


def test_everything_delivered_once_in_any_order_is_as_it_should_be() -> None:
    assert compare(["a", "b", "c"], [line("c"), line("a"), line("b")]) == findings(made=3, delivered=3)


def test_what_is_missing_is_named_and_what_is_there_twice_is_counted() -> None:
    assert compare(["a", "b", "c"], [line("a"), line("a"), line("a"), line("c")]) == findings(
        made=3, delivered=2, missing=("b",), duplicates=2
    )


def test_strangers_are_neither_delivered_nor_missing() -> None:
    assert compare(["a"], [line("a"), line("x")]) == findings(made=1, delivered=1, strangers=1)


@pytest.mark.parametrize("torn", [b'{"id":"a","sou', b"[]", b"{}", b'{"id":7}', b"\n", b"\xff"])
def test_a_line_that_is_no_event_is_unreadable_and_delivers_nothing(torn: bytes) -> None:
    assert id_of(torn) is None
    assert compare(["a"], [torn]) == findings(made=1, delivered=0, missing=("a",), unreadable=1)


def test_a_promise_kept_has_no_fault() -> None:
    assert verdict().faults == []
    assert verdict(findings=findings(duplicates=5)).faults == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"findings": findings(missing=("a",))}, "missing"),
        ({"findings": findings(duplicates=6)}, "duplicates"),
        ({"findings": findings(duplicates=1), "killed_at": ()}, "duplicates"),
        ({"findings": findings(strangers=1)}, "nobody made"),
        ({"findings": findings(unreadable=1)}, "not events"),
        ({"exit_status": 70}, "exit status"),
        ({"exit_status": None}, "exit status"),
    ],
)
def test_each_broken_promise_is_a_fault(changes: dict[str, Any], word: str) -> None:
    [fault] = verdict(**changes).faults
    assert word in fault


def test_the_verdict_states_each_figure() -> None:
    rows = dict(verdict(findings=findings(duplicates=3)).rows())
    assert rows["made"].startswith("10 ")
    assert rows["delivered"].startswith("10 ")
    assert rows["missing"] == "0"
    assert rows["duplicates"].startswith("3; allowed are 5: ")
    assert rows["fastest"] == "7 events a second"
    assert rows["rate"].startswith("5 events a second")
