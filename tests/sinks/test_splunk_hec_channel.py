"""A channel's bookkeeping: nothing is acknowledged that Splunk did not say of this very request."""

import asyncio

import pytest

from forwarder.errors import Retryable
from forwarder.sinks.splunk_hec.channel import Channel


def expect(channel: Channel, ack_id: int, until: float = 100.0, now: float = 1.0) -> asyncio.Future[None]:
    proof = channel.expect(ack_id, now=now, until=until)
    assert proof is not None
    return proof


async def test_each_id_is_acknowledged_by_its_own_number() -> None:
    channel = Channel()
    proofs = [expect(channel, number) for number in (0, 1, 5)]
    assert channel.hear({"1": True, "0": False, "7": True}, 2.0)
    assert [proof.done() for proof in proofs] == [False, True, False]
    assert channel.awaited == [0, 5]
    assert not channel.hear({"0": False, "5": False}, 2.0)


@pytest.mark.parametrize("told", ["true", 1, None, "1", [True]])
async def test_only_true_is_an_acknowledgement(told: object) -> None:
    channel = Channel()
    proof = expect(channel, 0)
    assert not channel.hear({"0": told}, 2.0)
    assert not proof.done()


@pytest.mark.parametrize("again", [0, 2, 3])
async def test_an_id_that_is_not_greater_than_the_last_is_not_awaited(again: int) -> None:
    """Also where the last one was acknowledged long ago."""
    channel = Channel()
    expect(channel, 3)
    channel.hear({"3": True}, 2.0)
    assert channel.expect(again, now=1.0, until=100.0) is None
    assert channel.expect(4, now=1.0, until=100.0) is not None


async def test_what_is_lost_may_have_arrived() -> None:
    channel = Channel()
    proofs = [expect(channel, 0), expect(channel, 1)]
    channel.lose("Splunk was restarted")
    for proof in proofs:
        with pytest.raises(Retryable, match="restarted") as raised:
            await proof
        assert raised.value.unanswered
        assert raised.value.kind == "ack"
    assert not channel.hear({"0": True, "1": True}, 2.0), "nobody waits any more"


async def test_the_first_deadline_counts_and_doubt_shortens_all() -> None:
    channel = Channel()
    assert channel.deadline == float("inf")
    expect(channel, 0, 50.0)
    expect(channel, 1, 80.0)
    assert channel.deadline == 50.0
    channel.doubt(30.0)
    channel.doubt(40.0)
    assert channel.deadline == 30.0
    channel.hear({"0": False}, 2.0)
    assert channel.deadline == 30.0
    channel.hear({"0": True}, 2.0)
    assert channel.deadline == 80.0, "one acknowledgement shows that the others are not forgotten"


async def test_what_is_awaited_anew_is_not_in_doubt_over_what_was() -> None:
    """An outage of an hour ago says nothing about a request of now."""
    channel = Channel()
    expect(channel, 0, now=1.0)
    channel.doubt(11.0)
    channel.hear({"0": True}, 5.0)
    expect(channel, 1, 4000.0, now=3600.0)
    assert (channel.since, channel.deadline) == (3600.0, 4000.0)
    expect(channel, 2, 4000.0, now=3601.0)
    assert channel.since == 3600.0, "the first of what is awaited counts"


async def test_whoever_was_cancelled_awaits_nothing() -> None:
    channel = Channel()
    proof = expect(channel, 0)
    proof.cancel()
    await asyncio.sleep(0)
    assert channel.awaited == []


async def test_every_channel_has_a_name_of_its_own() -> None:
    assert len({Channel().guid for _ in range(100)}) == 100
