"""What Persona was promised: no more requests than our share, none when told to wait, and few at rest."""

import math
from collections import defaultdict
from collections.abc import Iterator

from forwarder.clock import SECOND, parse_rfc3339
from tests.simulation.chronicle import Asked
from tests.simulation.oracle.evidence import UNREADABLE, Evidence
from tests.simulation.stage import REST_POLLS

WAITS = {"429": 1.0, "quota": 60.0, "rate-odd": 3600.0, "retry-in": 7.0}
"""Seconds that an answer asks for."""
END_LOOKS = 20
"""So often an end that does not say so is read where a wrong date contradicts it."""
BREAKS = {"reset", "cut", "stall", "too-large"}
"""Answers that end the connection."""


def violations(evidence: Evidence) -> Iterator[str]:
    """What of it was broken."""
    yield from _rate_kept(evidence)
    yield from _throttling_obeyed(evidence)
    yield from _at_rest(evidence)


def _rate_kept(evidence: Evidence) -> Iterator[str]:
    plan, by_life = evidence.plan, defaultdict(list)
    for asked in evidence.chronicle.asked:
        by_life[asked.life].append(asked)
    polls = math.ceil(60 / plan.poll_interval) + 1
    # What is asked over a new connection arrives later, where it has to be made first.
    window = 60 - (20 if evidence.stage.way.is_encrypted else 4) * plan.latency
    for life, requests in by_life.items():
        learned = next((one.at for one in requests if one.status == 200), math.inf)
        first = 0
        for last, asked in enumerate(requests):
            while requests[first].at <= asked.at - window:
                first += 1
            limit = plan.limit if requests[first].at > learned else max(plan.limit, 300)
            allowed = max(math.floor(plan.rate_share * limit + 1e-9), polls)
            # A request on a kept connection that breaks is repeated by the client at once, and paid back later.
            allowed += sum(one.fault in BREAKS for one in requests[first : last + 1])
            allowed += sum(requests[first].at <= at <= asked.at for at in evidence.stage.way.broken_at)
            if last - first + 1 > allowed:
                yield (
                    f"life {life} asked {last - first + 1} times within a minute, up to {asked.at:.3f}; its share "
                    f"is {allowed}"
                )
                break


def _throttling_obeyed(evidence: Evidence) -> Iterator[str]:
    """After a 429 nobody asks before its reset: a second where the simulator's fault says so, else a minute.

    Nor after a page that says that nothing is left: an hour at most, however far off the reset is. What an answer
    beside it asks for with ``Retry-After`` is kept, too, where a page was asked for.
    """
    closed, before = (-1, 0.0), -math.inf
    for asked in evidence.chronicle.asked:
        if asked.life == closed[0] and asked.at < closed[1]:
            yield f"life {asked.life} was told to wait until {closed[1]:.3f}, and asked at {asked.at:.3f}"
        wait = WAITS.get(asked.fault)
        if wait is not None and _is_heard(evidence, before, asked):
            closed = (asked.life, asked.at + wait - 3 * evidence.plan.latency - 0.01)
        before = asked.at


def _is_heard(evidence: Evidence, before: float, asked: Asked) -> bool:
    """Whether the daemon learnt what *asked* was told; the request *before* it came at that time.

    A look-up may be given up by its page, which is collected while the look-up is on its way. Where a page is asked for
    as the next thing after another was collected, it is the first to fail since, and that is told.
    """
    if asked.fault == "rate-odd":
        return asked.status == 200
    plan = evidence.plan
    answered, told = asked.at + 0.5 * plan.latency, asked.at + 5 * plan.latency + 2 * plan.thread_delay
    lines = [(when, line["event"]) for when, _, line in evidence.chronicle.lines if before < when <= told]
    collected = any(event == "source.page_collected" and when <= answered for when, event in lines)
    return not collected or any(event == "source.unavailable" and when >= asked.at for when, event in lines)


def _at_rest(evidence: Evidence) -> Iterator[str]:
    stage, plan = evidence.stage, evidence.plan
    since = stage.persona_clock.now() - int((plan.lookback + plan.sweep_interval + stage.quiet_seconds) * 2 * SECOND)
    recent = sum(made.created >= since for made in stage.chronicle.made.values())
    a_poll = _pages_of_a_poll(evidence)
    a_sweep = math.ceil((recent + 11) / stage.page_size) + 3
    allowed = 1.3 * ((REST_POLLS + 2) * a_poll + (REST_POLLS * plan.poll_interval / plan.sweep_interval + 2) * a_sweep)
    if plan.end == "empty" or plan.odd or all(map(evidence.has_expired, stage.chronicle.made.values())):
        # An end that does not say so, as the top of an emptied log, is read down to six times, or twenty where a
        # wrong date contradicts it; odd dates hide where the floor is.
        allowed *= END_LOOKS if plan.end == "empty" and evidence.dates_may_be_wrong else 6
    if stage.quiet_requests > allowed:
        yield f"at rest it asked {stage.quiet_requests} times in {REST_POLLS} polls; {allowed:.0f} would do"
    if stage.quiet_steps > 400 * stage.quiet_requests + 60 * stage.quiet_seconds + 2000:
        yield f"at rest it took {stage.quiet_steps} steps in {stage.quiet_seconds:.0f} s"
    until = parse_rfc3339(evidence.source.complete_until)
    behind = math.inf if until is None else (stage.persona_clock.now() - until) / SECOND
    if behind > 6 * plan.poll_interval + 60 and _has_room(evidence) and not evidence.answers & UNREADABLE:
        yield f"at the end it is complete only up to {evidence.source.complete_until}"


def _has_room(evidence: Evidence) -> bool:
    """Whether there is time, and a share of the rate, for more than polls.

    Where they take all of either, older walks have one request in five, and fall behind.
    """
    plan = evidence.plan
    longest = _pages_of_a_poll(evidence)
    listed = sum(not evidence.has_expired(made) for made in evidence.chronicle.made.values())
    to_the_end = math.ceil(listed / evidence.stage.page_size) + 1
    if plan.odd:  # it may find no floor above the end
        longest = max(longest, to_the_end)
    if longest >= to_the_end and plan.end == "empty" and evidence.dates_may_be_wrong:
        longest += 2 * END_LOOKS
    seconds = (longest + 1) * (2 * plan.latency + 2 * plan.thread_delay)
    share = plan.rate_share * plan.limit * plan.poll_interval / 60
    return seconds < 0.6 * plan.poll_interval and longest + 1 < 0.6 * share


def _pages_of_a_poll(evidence: Evidence) -> int:
    """Requests of a poll that finds its floor where the newest records end."""
    newest = max((made.created for made in evidence.chronicle.made.values()), default=0)
    ties = sum(made.created == newest for made in evidence.chronicle.made.values())
    return math.ceil((10 + max(ties, 1)) / evidence.stage.page_size) + 1
