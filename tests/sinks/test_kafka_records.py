"""How an event becomes a record, and an error of a broker a failure: both are pure."""

from dataclasses import replace

import pytest
from aiokafka import errors
from hypothesis import given
from hypothesis import strategies as st

from forwarder.errors import Misconfigured, Retryable
from forwarder.record import Origin, parse_event
from forwarder.sinks.kafka.failures import failure, is_doubtful
from forwarder.sinks.kafka.records import headers_of, key_of, timestamp_of
from tests.sinks.contract import make_items

EVENT = make_items(1)[0].event
BROKERS_ERRORS = sorted(errors.kafka_errors.values(), key=lambda kind: kind.errno)


def test_an_event_without_a_user_is_keyed_by_its_id() -> None:
    assert key_of(EVENT, "user") == b"user_1"
    assert key_of(replace(EVENT, user_id=None), "user") == b"ual_000001"
    assert key_of(EVENT, "id") == b"ual_000001"
    assert key_of(EVENT, "none") is None


def test_an_event_without_a_user_has_no_subject() -> None:
    assert "ce_subject" not in dict(headers_of(replace(EVENT, user_id=None)))


@given(
    st.one_of(st.none(), st.integers(-(10**17), 10**17)),
    st.integers(0, 4_000_000_000_000_000),
)
def test_no_time_is_before_the_epoch_or_after_the_event_was_collected(occurred: int | None, collected: int) -> None:
    time = timestamp_of(replace(EVENT, occurred_at=occurred, collected_at=collected))
    assert 0 <= time <= collected // 1000
    if occurred is not None and 0 <= occurred <= collected:
        assert time == occurred // 1000


def test_a_record_with_nothing_but_an_id_is_a_record() -> None:
    event = parse_event({"id": "x"}, origin=Origin("persona"), collected_at=1_000)
    assert key_of(event, "user") == b"x"
    assert timestamp_of(event) == 1
    assert dict(headers_of(event))["ce_id"] == b"x"


@pytest.mark.parametrize("kind", BROKERS_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_a_broker_has_a_meaning(kind: type[errors.BrokerResponseError]) -> None:
    """What may pass is retried; whatever is not known to be the operator's to mend is retried too, never dropped."""
    meaning = failure(kind(), accepted=3)
    assert isinstance(meaning, Retryable | Misconfigured)
    assert meaning.accepted == 3
    assert meaning.reason
    if kind.retriable:
        assert isinstance(meaning, Retryable)
        assert is_doubtful(kind())


def test_an_answer_that_stays_away_is_a_time_out_in_doubt() -> None:
    meaning = failure(None, unanswered=is_doubtful(None))
    assert isinstance(meaning, Retryable)
    assert (meaning.kind, meaning.unanswered) == ("timeout", True)
