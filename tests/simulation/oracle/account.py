"""What ``forwarder status`` was promised to say: no hole that is none, and never "complete" where one is."""

from collections.abc import Iterator

from forwarder.clock import SECOND, format_rfc3339, parse_rfc3339
from forwarder.journal.status import Stretch
from tests.simulation.oracle import hardships
from tests.simulation.oracle.evidence import UNREADABLE, Evidence

SHORTEST_MONTHS = 181 * 86400 * SECOND
"""Six months, where February is among them: what is older may have left the list, though this Persona keeps longer."""


def violations(evidence: Evidence) -> Iterator[str]:
    """What of it was broken."""
    yield from _holes_true(evidence)
    yield from _claims_true(evidence)


def _holes_true(evidence: Evidence) -> Iterator[str]:
    # A list whose last record is shown without its id ends above what is known to lie there.
    endless = "nameless" in evidence.answers
    anything_may_be = endless or any(evidence.has_expired(made) for made in evidence.chronicle.made.values())
    for hole in evidence.source.holes:
        may_be = anything_may_be or _is_before_the_log(evidence, hole.since) or _was_out_of_sight(evidence, hole)
        if hole.kind == "lost" and not may_be:
            yield f"a lost stretch is reported, {hole.since} to {hole.until}, and nothing has left the retention"
        if hole.kind == "unreadable" and not evidence.answers & UNREADABLE:
            yield f"an unreadable stretch is reported, {hole.since} to {hole.until}, and all could be read"


def _is_before_the_log(evidence: Evidence, since: str | None) -> bool:
    """Whether nothing had been made by then: a young log may be taken for a loss, if dates are wrong.

    Named as not claimed in ``docs/correctness.md``; what a hole covers has to arrive all the same.
    """
    return evidence.dates_may_be_wrong and all(made.at >= (since or "") for made in evidence.chronicle.made.values())


def _was_out_of_sight(evidence: Evidence, hole: Stretch) -> bool:
    """Whether the log was empty, and then not asked for so long that what was made meanwhile may have left it.

    Nothing was made, as it happens; nobody but us can know.
    """
    expired = format_rfc3339(evidence.stage.persona_clock.now() - SHORTEST_MONTHS)
    unasked = "long-outage" in evidence.kinds and (hole.until or "~") <= expired
    return unasked and all(made.at >= (hole.until or "~") for made in evidence.chronicle.made.values())


def _claims_true(evidence: Evidence) -> Iterator[str]:
    if evidence.kinds & {"our-clock", "their-clock"} or evidence.answers & (UNREADABLE | {"nameless"}):
        return  # a stretch that could not be read is reported beside the claim, and so is a record without an id
    collected = _collected_at(evidence)
    ahead = int(evidence.plan.skew * SECOND)
    for claim in evidence.chronicle.claims:
        if claim.complete_until is None or claim.complete_from is None:
            continue
        if hardships.may_be_collected_again(evidence.stage, claim.at):
            continue
        until = parse_rfc3339(claim.complete_until) or 0
        for id_, made in evidence.chronicle.made.items():
            shown = int(made.visible * SECOND) + evidence.stage.clock.epoch + ahead
            inside = claim.complete_from <= made.at or claim.complete_from == "beginning"
            if not inside or shown > until or made.is_late or not evidence.claims_its_own_time(id_, made):
                continue
            if id_ in collected and collected[id_] > claim.now:
                yield (
                    f"at {claim.at:.3f} status claimed all up to {claim.complete_until}, but {id_} "
                    f"of {made.at} was collected later"
                )


def _collected_at(evidence: Evidence) -> dict[str, int]:
    first: dict[str, int] = {}
    for destination in evidence.stage.destinations.values():
        for receipt in destination.receipts:
            at = parse_rfc3339(receipt.content.get("collected_at"))
            if at is not None:
                first[receipt.id] = min(at, first.get(receipt.id, at))
    return first
