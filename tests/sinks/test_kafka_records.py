"""How an event becomes a record, and an error of a broker a failure: both are pure."""

from dataclasses import replace

import pytest
from aiokafka import errors
from hypothesis import given
from hypothesis import strategies as st

from forwarder.errors import Misconfigured, Retryable
from forwarder.record import Origin, parse_event
from forwarder.sinks.kafka.checkpoint import Checkpoint, Stretch, decode
from forwarder.sinks.kafka.failures import failure, is_doubtful
from forwarder.sinks.kafka.records import headers_of, identity_of, key_of, place_of, read_place, timestamp_of
from tests.sinks.contract import make_items

EVENT = make_items(1)[0].event
BROKERS_ERRORS = sorted(errors.kafka_errors.values(), key=lambda kind: kind.errno)


def test_an_event_without_a_user_is_keyed_by_its_id() -> None:
    assert key_of(EVENT, "user") == b"user_1"
    assert key_of(replace(EVENT, user_id=None), "user") == b"ual_000001"
    assert key_of(EVENT, "id") == b"ual_000001"
    assert key_of(EVENT, "none") is None


def test_an_event_without_a_user_has_no_subject() -> None:
    assert "ce_subject" not in dict(headers_of(replace(EVENT, user_id=None), "json"))


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
    assert dict(headers_of(event, "json"))["ce_id"] == b"x"


@given(st.integers(0, 2**63 - 1), st.text(min_size=1))
def test_the_place_of_a_record_is_read_as_it_was_written(seq: int, journal: str) -> None:
    headers = [*headers_of(EVENT, "json"), *place_of(seq, journal)]
    assert read_place(headers, journal) == (seq, identity_of(EVENT))
    assert read_place(headers, journal + "x") is None
    assert read_place(headers_of(EVENT, "json"), journal) is None


def test_places_sort_as_text() -> None:
    """As CloudEvents' extension "sequence" demands."""
    numbers = [0, 9, 10, 99, 1_772_356_502_331_000, 2**63 - 1]
    texts = [dict(place_of(seq, "j"))["ce_sequence"] for seq in numbers]
    assert texts == sorted(texts)


@pytest.mark.parametrize(("form", "kind"), [("json", b"application/json"), ("cef", b"text/plain; charset=utf-8")])
def test_the_content_type_is_that_of_the_format(form: str, kind: bytes) -> None:
    assert dict(headers_of(EVENT, form))["content-type"] == kind


stretches = st.builds(
    Stretch,
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.dictionaries(st.integers(0, 1000), st.tuples(st.integers(0, 2**62), st.integers(0, 2**62))),
)


@given(
    st.builds(
        Checkpoint,
        st.text(),
        st.text(),
        st.none() | st.integers(0, 2**62),
        st.none() | st.text(),
        st.lists(stretches).map(tuple),
    )
)
def test_a_position_is_read_as_it_was_written(position: Checkpoint) -> None:
    assert decode(position.encode(), "topic") == position


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b'{"version":1}', b'{"version":2}', b"\xff"])
def test_a_position_that_is_none_of_ours_is_the_operators(value: bytes | None) -> None:
    with pytest.raises(Misconfigured):
        decode(value, "topic")


def test_a_rollback_further_back_holds_what_earlier_ones_held() -> None:
    position = Checkpoint("journal", "me", 100)
    later = position.after_rollback(Stretch(50, 100, {})).after_rollback(Stretch(120, 150, {}))
    assert (later.seq, later.last_id, later.highest) == (120, None, 150)
    assert [(one.after, one.until) for one in later.rollbacks] == [(50, 100), (120, 150)]
    assert [one.after for one in later.after_rollback(Stretch(50, 200, {})).rollbacks] == [50]
    assert [one.after for one in later.after_rollback(Stretch(60, 200, {})).rollbacks] == [50, 60]


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
