"""The table of replies, row by row, and what each says about the events of a batch."""

import pytest

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.splunk_hec.replies import LONGEST_WAIT, REPLIES, Answer, Request, retry_after, strained, verdict

ROWS: list[tuple[int, int, type[Failure] | None]] = [
    (0, 200, None),
    (1, 403, Misconfigured),
    (2, 401, Misconfigured),
    (3, 401, Misconfigured),
    (4, 403, Misconfigured),
    (5, 400, Refused),
    (6, 400, Refused),
    (7, 400, Misconfigured),
    (8, 500, Retryable),
    (9, 503, Retryable),
    (10, 400, Misconfigured),
    (11, 400, Retryable),
    (12, 400, Refused),
    (13, 400, Refused),
    (14, 400, Misconfigured),
    (15, 400, Refused),
    (16, 400, Misconfigured),
    (17, 200, None),
    (18, 503, Retryable),
    (19, 503, Retryable),
    (20, 503, Retryable),
    (21, 400, Misconfigured),
    (22, 400, Misconfigured),
    (23, 503, Retryable),
    (24, 200, None),
    (25, 200, None),
    (26, 429, Retryable),
    (27, 429, Retryable),
    (28, 400, Misconfigured),
]


def judge(
    code: int | None, status: int = 400, *, number: int | None = None, before: int = 0, sent: int = 10
) -> Failure:
    """Ask for the verdict on an answer that has to be a failure."""
    body: dict[str, object] | None = None if code is None else {"text": "…", "code": code}
    if body is not None and number is not None:
        body["invalid-event-number"] = number
    failure = verdict(Answer(status, body), Request(before, [77] * sent, "FORWARDER_SOC_"))
    assert failure is not None
    return failure


@pytest.mark.parametrize(("code", "status", "failure"), ROWS)
def test_each_code_has_its_meaning(code: int, status: int, failure: type[Failure] | None) -> None:
    """What Splunk says, by its own reference; a failure names the code, the status and what to do."""
    found = verdict(Answer(status, {"text": "x", "code": code}), Request(0, [77]))
    if failure is None:
        assert found is None
    else:
        assert type(found) is failure
        assert f"code {code}, HTTP {status}" in str(found)
        assert REPLIES[code].advice
        assert REPLIES[code].advice in str(found)


def test_the_table_above_is_whole() -> None:
    """A code without a row of its own here would be untested."""
    assert [(code, status) for code, status, _ in ROWS] == [(code, reply.status) for code, reply in REPLIES.items()]


def test_what_nears_its_limits_is_taken_and_said() -> None:
    said = [code for code, status, _ in ROWS if strained(Answer(status, {"text": "x", "code": code}))]
    assert said == [24, 25]
    assert not strained(Answer(200, None))


@pytest.mark.parametrize(
    ("code", "setting"),
    [(1, "TOKEN"), (4, "TOKEN"), (7, "INDEX"), (10, "ACK"), (14, "ACK"), (22, "TOKEN"), (28, "ACK")],
)
def test_what_the_operator_has_to_mend_names_its_variable(code: int, setting: str) -> None:
    assert f"(FORWARDER_SOC_{setting})" in judge(code).reason


def test_a_refused_event_bears_its_size() -> None:
    assert "the event has 77 bytes" in judge(6, number=3).reason


@pytest.mark.parametrize("code", [6, 12, 13, 15])
def test_what_is_before_the_named_event_is_in(code: int) -> None:
    """The number counts from 0 and names the refused event itself."""
    failure = judge(code, number=3, before=20)
    assert isinstance(failure, Refused)
    assert failure.at == 23


@pytest.mark.parametrize("code", [12, 13, 15])
def test_the_first_event_can_be_named(code: int) -> None:
    failure = judge(code, number=0)
    assert isinstance(failure, Refused)
    assert failure.at == 0


def test_a_malformed_first_event_of_many_is_not_believed() -> None:
    """Splunk Cloud says the same of a body that is too large: the worker has to halve the batch."""
    failure = judge(6, number=0)
    assert isinstance(failure, Refused)
    assert failure.at is None


def test_a_malformed_event_that_was_sent_alone_is_refused() -> None:
    failure = judge(6, number=0, sent=1, before=4)
    assert isinstance(failure, Refused)
    assert failure.at == 4


def test_a_search_is_never_asked_for_while_earlier_requests_of_the_batch_are_in() -> None:
    """Refused without a place says that none of the batch is in, which would repeat those that are."""
    failure = judge(6, number=0, before=7)
    assert isinstance(failure, Retryable)
    assert failure.accepted == 7
    assert not failure.unanswered


@pytest.mark.parametrize("number", [None, -1, 10, 11])
def test_a_number_that_names_no_event_of_ours_leaves_the_search_to_the_worker(number: int | None) -> None:
    failure = judge(6, number=number)
    assert isinstance(failure, Refused)
    assert failure.at is None


@pytest.mark.parametrize(("number", "accepted"), [(1, 0), (2, 1), (10, 9), (0, 0), (None, 0), (99, 9)])
def test_a_wrong_index_is_named_by_the_event_after_it(number: int | None, accepted: int) -> None:
    """The bad one is the one before the number; it is kept, and what precedes it is in."""
    failure = judge(7, number=number, before=5)
    assert isinstance(failure, Misconfigured)
    assert failure.accepted == 5 + accepted


def test_a_busy_server_that_names_an_event_may_have_taken_some() -> None:
    """Nobody has established that it did, so they are sent again, and counted as possible duplicates."""
    named, silent = judge(9, 503, number=4, before=1), judge(9, 503, before=1)
    assert isinstance(named, Retryable)
    assert isinstance(silent, Retryable)
    assert (named.accepted, named.unanswered) == (1, True)
    assert (silent.accepted, silent.unanswered) == (1, False)


def test_the_wait_that_splunk_asks_for_is_handed_on() -> None:
    failure = verdict(Answer(429, {"text": "x", "code": 26}, retry_after=7.0), Request(0, [77]))
    assert isinstance(failure, Retryable)
    assert failure.retry_after == 7.0


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 405, 407, 415])
def test_an_answer_of_something_else_that_the_operator_has_to_mend(status: int) -> None:
    failure = judge(None, status, before=2)
    assert isinstance(failure, Misconfigured)
    assert failure.accepted == 2


@pytest.mark.parametrize("status", [200, 400, 404, 408, 429, 500, 502, 503, 504])
def test_an_answer_of_something_else_that_passes(status: int) -> None:
    """A page with HTTP 200 is no acknowledgement; a 400 without Splunk's own words refuses no event."""
    failure = judge(None, status, before=2)
    assert isinstance(failure, Retryable)
    assert failure.accepted == 2
    assert failure.unanswered == (status in {200, 400, 500, 502, 504})


def test_a_body_that_is_too_large_is_halved_until_one_event_is_left() -> None:
    many, one = judge(None, 413), judge(None, 413, sent=1, before=3)
    assert isinstance(many, Refused)
    assert many.at is None
    assert isinstance(one, Refused)
    assert one.at == 3


def test_a_code_of_a_newer_splunk_is_read_by_its_status() -> None:
    assert verdict(Answer(200, {"code": 99}), Request(0, [77])) is None
    assert isinstance(judge(99, 400), Retryable)
    assert isinstance(judge(99, 403), Misconfigured)


@pytest.mark.parametrize("code", [True, "0", 0.0, None])
def test_only_a_whole_number_is_a_code(code: object) -> None:
    """``true`` equals 1 in Python, and would be read as a disabled token."""
    assert isinstance(verdict(Answer(200, {"code": code}), Request(0, [77])), Retryable)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("7", None, 7.0),
        (" 0 ", None, 0.0),
        ("99999999", None, LONGEST_WAIT),
        ("-1", None, None),
        ("soon", None, None),
        ("nan", None, None),
        ("Sun, 01 Mar 2026 09:15:30 GMT", "Sun, 01 Mar 2026 09:15:00 GMT", 30.0),
        ("Sun, 01 Mar 2026 09:14:00 GMT", "Sun, 01 Mar 2026 09:15:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 09:15:30 GMT", None, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_after(value, date) == seconds
