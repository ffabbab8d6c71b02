"""Faults are written, refused and drawn as documented."""

import pytest

from forwarder.simulator import Fault, Faults, UnknownFault


@pytest.mark.parametrize(
    ("text", "fault"),
    [("429:0.05", Fault("429", 0.05)), ("cut", Fault("cut", 1.0)), ("cursor-lost:1", Fault("cursor-lost", 1.0))],
)
def test_a_fault_is_a_kind_and_a_probability(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    "text", ["teapot:0.1", "418:1", "429:2", "429:-1", "429:often", "429:nan", "", ":0.5", "٤٢٩:1"]
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(UnknownFault):
        Fault.parse(text)


def test_the_same_seed_draws_the_same_faults_at_about_the_asked_rate() -> None:
    def drawn(seed: int) -> list[str]:
        faults = Faults(["429:0.2", "cut:0.1"], seed=seed)
        return [fault.kind if fault else "" for fault in (faults.draw() for _ in range(2000))]

    assert drawn(3) == drawn(3) != drawn(4)
    assert 320 < drawn(3).count("429") < 480
    assert 100 < drawn(3).count("cut") < 220


def test_what_comes_next_can_be_said_one_by_one() -> None:
    faults = Faults()
    faults.next("500", None, "cut")
    assert [fault and fault.kind for fault in (faults.draw() for _ in range(4))] == ["500", None, "cut", None]


def test_faults_can_be_replaced() -> None:
    faults = Faults(["500"])
    faults.set([])
    assert faults.draw() is None
