"""Backoff, secrets, units, visible text and errors."""

import copy
import json
import pickle
import sys
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from forwarder import errors
from forwarder.errors import ConfigurationError, Misconfigured, Problem, Refused, Retryable
from forwarder.retry import Backoff
from forwarder.secret import Secret
from forwarder.text import visible
from forwarder.units import CommaList, Duration, Size, parse_duration, parse_list, parse_size


@given(attempt=st.integers(1, 10**9), seed=st.integers())
def test_a_delay_is_between_half_of_the_exponential_and_all_of_it_and_never_above_the_cap(
    attempt: int, seed: int
) -> None:
    backoff = Backoff(first=2, factor=3, cap=100)
    full = min(100, 2 * 3 ** min(attempt - 1, 20))
    assert full / 2 <= backoff.delay(attempt, Random(seed)) <= full


@given(attempt=st.integers(1, 100), asked=st.floats(0, 10**6))
def test_what_the_peer_asked_for_is_kept_even_above_the_cap(attempt: int, asked: float) -> None:
    assert Backoff().delay(attempt, Random(1), at_least=asked) >= asked


def test_two_forwarders_do_not_come_back_together() -> None:
    delays = {Backoff().delay(5, Random(seed)) for seed in range(50)}
    assert len(delays) == 50


def test_one_seed_gives_one_sequence() -> None:
    one, two = Random(7), Random(7)
    assert [Backoff().delay(n, one) for n in range(1, 9)] == [Backoff().delay(n, two) for n in range(1, 9)]


class Settings(BaseModel, arbitrary_types_allowed=True):
    key: Secret


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        "{}".format,
        "{!r}".format,
        "%s".__mod__,
        lambda secret: f"{[secret]} { ({'a': secret}) }",
        lambda secret: str(Settings(key=secret)) + repr(Settings(key=secret)),
        lambda secret: json.dumps(secret, default=str),
        lambda secret: orjson.dumps(secret, default=str).decode(),
        lambda secret: str(dir(secret)) + repr(secret._read),
    ],
)
def test_a_secret_is_not_shown(show: object) -> None:
    assert callable(show)
    assert "hunter2" not in show(Secret("hunter2"))


def test_a_secret_can_be_used() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_a_rotated_secret_is_read_again() -> None:
    values = iter(["old", "new"])
    secret = Secret(lambda: next(values))
    assert (secret.reveal(), secret.reveal()) == ("old", "new")


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_neither_serialized_nor_copied(copying: object) -> None:
    assert callable(copying)
    with pytest.raises(TypeError, match="not serialized"):
        copying(Secret("hunter2"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("5m", 300),
        ("24h", 86_400),
        ("7d", 604_800),
        ("1.5h", 5400),
        ("250ms", 0.25),
        (" 5 m ", 300),
        ("0", 0),
        (30, 30),
        (2.5, 2.5),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "5 minutes", "5M", "1h30m", "1e3", "inf", "nan", "5,0s", True, None, "9" * 400]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512KiB", 524_288),
        ("64MiB", 67_108_864),
        ("2GiB", 2_147_483_648),
        ("1TiB", 1 << 40),
        ("1048576", 1_048_576),
        ("10B", 10),
        (" 2 KiB", 2048),
        (7, 7),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "-1", "1.5GiB", "1KB", "1kib", "1 M", True, None, 1.5])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a size; write 512KiB"):
        parse_size(text)


def test_lists() -> None:
    assert parse_list(" a, b,,c d ,") == ["a", "b", "c d"]
    assert parse_list("") == []
    assert parse_list(("a", 1)) == ["a", "1"]


def test_units_are_field_types_and_their_refusal_says_what_to_write() -> None:
    class Model(BaseModel):
        wait: Duration
        room: Size
        names: CommaList

    model = Model.model_validate({"wait": "5m", "room": "1KiB", "names": "a,b"})
    assert (model.wait, model.room, model.names) == (300, 1024, ["a", "b"])
    with pytest.raises(ValidationError, match="write 30, 30s, 5m, 24h or 7d"):
        Model.model_validate({"wait": "soon", "room": "1", "names": ""})


def test_of_all_characters_those_that_could_forge_a_line_or_drive_a_terminal_are_escaped() -> None:
    """C0, DEL and C1, the separators that viewers take for line ends, and halves of surrogate pairs."""
    unsafe = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000)}
    for number in range(sys.maxunicode + 1):
        assert visible(chr(number)) == (f"\\u{number:04x}" if number in unsafe else chr(number))
    assert visible("é\tx\n\U000e0001", but="\t") == "é\tx\\u000a\U000e0001"


def test_every_error_that_ends_the_process_has_an_exit_status_of_its_own() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ForwarderError)
    ]
    assert {kind.__name__: kind.exit_status for kind in kinds} == {
        "ForwarderError": 70,
        "JournalUnavailable": 73,
        "JournalDamaged": 74,
        "JournalLocked": 75,
        "ConfigurationError": 78,
    }


def test_a_configuration_error_tells_every_problem_once_in_order() -> None:
    error = ConfigurationError([Problem("FORWARDER_B", "is wrong"), Problem("FORWARDER_A", "is missing")])
    assert str(error) == "FORWARDER_A: is missing\nFORWARDER_B: is wrong"


def test_failures_of_a_peer_carry_what_the_worker_decides_by() -> None:
    retryable = Retryable("busy", accepted=3, retry_after=5.0, unanswered=True, kind="timeout")
    assert (retryable.accepted, retryable.retry_after, retryable.unanswered, retryable.kind) == (
        3,
        5.0,
        True,
        "timeout",
    )
    assert (str(retryable), retryable.reason) == ("busy", "busy")
    assert Refused("no", at=2).at == 2
    assert Refused("no").at is None
    assert Misconfigured("no topic", accepted=1).accepted == 1
