"""RELP's framing, as properties."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.sinks.syslog.relp_frames import (
    LAST_TRANSACTION,
    Frame,
    FrameReader,
    NotRelp,
    Reply,
    next_transaction,
    parse_offers,
    parse_reply,
    write_offers,
)

FRAMES = st.builds(
    Frame,
    st.integers(0, LAST_TRANSACTION),
    st.from_regex(rb"\A[A-Za-z]{1,32}\Z"),
    st.binary(max_size=300),
)


@given(frames=st.lists(FRAMES, max_size=6), seed=st.integers(0, 1000))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Frame], seed: int) -> None:
    stream = b"".join(frame.encode() for frame in frames)
    cuts = sorted(random.Random(seed).randrange(len(stream) + 1) for _ in range(5))
    reader = FrameReader()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(reader.feed(stream[start:end]))
    assert found == frames


@given(pieces=st.lists(st.binary(max_size=50) | st.sampled_from([b"1 ", b"rsp ", b"3 ", b"200", b"\n"]), max_size=20))
def test_noise_is_frames_or_is_no_relp_and_nothing_else(pieces: list[bytes]) -> None:
    """And what could never become a frame is told, instead of being collected for ever."""
    reader = FrameReader()
    try:
        for piece in pieces:
            for frame in reader.feed(piece):
                assert b"%s %d" % (frame.command, len(frame.data)) in b"".join(pieces)
    except NotRelp:
        return
    held = len(reader._buffer)
    assert held <= sum(map(len, pieces))
    if held > 60:
        assert reader._header() is not None, "what is held is a frame that is not whole"


@pytest.mark.parametrize(
    "stream",
    [
        b" 1 rsp 0\n",
        b"x",
        b"1234567890 rsp",
        b"1 r2 ",
        b"1 " + b"a" * 33,
        b"1 rsp x",
        b"1 rsp 1234567890 ",
        b"1 rsp 3\n",
    ],
)
def test_what_cannot_become_a_frame_is_no_relp(stream: bytes) -> None:
    with pytest.raises(NotRelp):
        list(FrameReader().feed(stream))


@pytest.mark.parametrize("stream", [b"", b"1", b"123456789", b"1 ", b"1 rs", b"1 rsp ", b"1 rsp 12", b"1 rsp 3 20"])
def test_the_beginning_of_a_frame_is_waited_for(stream: bytes) -> None:
    assert list(FrameReader().feed(stream)) == []


def test_a_frame_without_data_may_end_with_a_space() -> None:
    """The specification writes none; peers do."""
    assert list(FrameReader().feed(b"5 rsp 0 \n5 rsp 0\n")) == [Frame(5, b"rsp"), Frame(5, b"rsp")]


def test_a_reply_has_a_code_a_text_and_data() -> None:
    assert parse_reply(b"200 OK") == Reply(200, "OK", b"")
    assert parse_reply(b"200 OK\nrelp_version=1\ncommands=syslog") == Reply(
        200, "OK", b"relp_version=1\ncommands=syslog"
    )
    assert parse_reply(b"500") == Reply(500, "", b"")
    for wrong in (b"", b"20", b"200OK", b"abc OK", b"-200 OK"):
        with pytest.raises(NotRelp):
            parse_reply(wrong)


def test_offers_are_lines() -> None:
    offers = {"relp_version": "1", "relp_software": "a,b,c", "commands": "syslog"}
    assert write_offers(offers) == b"relp_version=1\nrelp_software=a,b,c\ncommands=syslog"
    assert parse_offers(b"\n" + write_offers(offers)) == offers
    assert parse_offers(b"") == {}


def test_transaction_numbers_are_never_zero_and_never_too_long() -> None:
    assert [next_transaction(n) for n in (0, 1, LAST_TRANSACTION - 1, LAST_TRANSACTION)] == [1, 2, LAST_TRANSACTION, 1]
