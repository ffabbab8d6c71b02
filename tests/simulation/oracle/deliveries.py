"""What the destinations were promised: each event, once, unchanged and in its order, and none that is not theirs."""

import math
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from forwarder.clock import format_rfc3339, parse_rfc3339
from tests.simulation.chronicle import Made
from tests.simulation.destination import Destination, Receipt
from tests.simulation.oracle import hardships
from tests.simulation.oracle.evidence import UNREADABLE, Evidence
from tests.simulation.splunk import Splunk
from tests.simulation.storage import DISK_TROUBLES


def violations(evidence: Evidence) -> Iterator[str]:
    """What of it was broken."""
    for name, destination in evidence.stage.destinations.items():
        yield from _nothing_invented(evidence, name, destination)
        yield from _filters_kept(evidence, name, destination)
        yield from _start_kept(evidence, name, destination)
        yield from _equal_content(evidence, name, destination)
        yield from _duplicates_explained(evidence, name, destination)
        if isinstance(destination, Splunk):
            yield from _told_splunk_once(evidence, name, destination)
        yield from _in_order(evidence, name, destination)
        if name in evidence.stage.configured:
            yield from _nothing_missing(evidence, name, destination)
        yield from _dead_letters_caused(evidence, name, destination)


def _nothing_invented(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    for receipt in destination.receipts:
        made = evidence.chronicle.made.get(receipt.id)
        if made is None:
            yield f"{name} got {receipt.id}, which nobody made"
        elif receipt.at < made.visible and "their-clock" not in evidence.kinds:  # which shows what was hidden
            yield f"{name} got {receipt.id} before it was visible"


def _filters_kept(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    for receipt in destination.receipts:
        attributes = evidence.resources[receipt.id]["attributes"] if receipt.id in evidence.resources else {}
        # A Splunk may index what the life before has sent.
        lives = evidence.stage.lives[max(0, receipt.attempt.life - 1) : receipt.attempt.life + 1]
        excludes = [life.variables.get(f"FORWARDER_{name.upper()}_EXCLUDE", "") for life in lives]
        if attributes and all(_matches(pattern, attributes) for pattern in excludes):
            yield f"{name} got {receipt.id}, which it leaves out"


def _start_kept(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    start = parse_rfc3339(evidence.plan.start)
    if start is None:
        return
    for receipt in destination.receipts:
        claimed = parse_rfc3339(evidence.resources[receipt.id]["attributes"].get("created-at"))
        if claimed is not None and claimed < start:
            yield f"{name} got {receipt.id} of {format_rfc3339(claimed)}, from before the start {evidence.plan.start}"


def _equal_content(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    for receipt in destination.receipts:
        resource = evidence.resources.get(receipt.id)
        if resource is not None and (wrong := _difference(receipt.content, resource)):
            yield f"{name} got {receipt.id} with another {wrong} than was made"


def _duplicates_explained(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    by_id: dict[str, list[Receipt]] = defaultdict(list)
    for receipt in destination.receipts:
        earlier = by_id[receipt.id]
        if earlier and destination.plan.remembers:
            yield f"{name} promises exactly once and got {receipt.id} again"
        elif earlier and not _may_repeat(evidence, destination, earlier[-1], receipt):
            yield f"{name} acknowledged {receipt.id} and got it again, with no crash in between"
        earlier.append(receipt)


def _may_repeat(evidence: Evidence, destination: Destination, before: Receipt, after: Receipt) -> bool:
    if before.place >= before.attempt.accepted:
        return True  # its sender was told nothing, or that it is not in
    if hardships.lost_sight_of(evidence.stage, before, after):
        return True
    life = evidence.stage.lives[before.attempt.life]
    if after.attempt.life == life.number and "disk-error" not in evidence.kinds:  # which runs a worker anew
        return False
    # What was taken beyond an event that is still open is known in memory alone: a crash forgets it, and so does a copy
    # of the journal. A batch that is halved, in search of the event that it is refused for, leaves so many pieces; one
    # of which a prefix is taken each time, as many as it has events.
    pieces = 0 if destination.plan.points_out else destination.plan.batch.bit_length()
    pieces = destination.plan.batch if "prefix" in evidence.answers else pieces
    between = range(before.attempt.number + 1, after.attempt.number)
    copied = hardships.copied_in(evidence.stage, life.number, after.attempt.life)
    until = math.inf if copied is None else copied
    sent = (one for one in destination.of(life.number) if one.number in between and one.at <= until)
    later = sum(one.accepted > 0 for one in sent)
    in_flight = later <= 2 * destination.plan.in_flight + pieces
    return in_flight and (life.crashed or copied is not None or bool(evidence.kinds & DISK_TROUBLES))


def _told_splunk_once(evidence: Evidence, name: str, splunk: Splunk) -> Iterator[str]:
    """Whoever was told that an event is in does not send it again, unless it could not remember."""
    for repeat in splunk.repeats:
        told = evidence.stage.lives[repeat.told]
        forgot = repeat.by != repeat.told and (told.crashed or evidence.kinds & DISK_TROUBLES)
        forgot = forgot or hardships.put_back_between(evidence.stage, repeat.told, repeat.by)
        forgot = forgot or _was_cancelled(evidence, name, repeat.told, repeat.told_at)
        if not forgot and "disk-error" not in evidence.kinds:
            yield f"life {repeat.by} sent {repeat.id} again, which {name} had told life {repeat.told} to be in"


def _was_cancelled(evidence: Evidence, name: str, life: int, by: float) -> bool:
    """Whether that life's grace was over before an answer of *by* then can have been read."""
    return any(
        line["event"] == "actor.cancelled" and line["actor"] == f"sink:{name}" and of == life and at <= by
        for at, of, line in evidence.chronicle.lines
    )


def _in_order(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    """Chronological within a page: what was collected at one moment, and sent once, arrives oldest first.

    The moment is written to the millisecond, so pages that come faster than that cannot be told apart.
    """
    if evidence.plan.latency < 0.01:
        return
    newest: dict[tuple[int, str], int] = {}
    seen: set[str] = set()
    for receipt in destination.receipts:
        made, body = evidence.chronicle.made.get(receipt.id), receipt.content
        if made is None or receipt.id in seen or "collected_at" not in body or destination.plan.in_flight > 1:
            continue
        seen.add(receipt.id)
        if not evidence.claims_its_own_time(receipt.id, made):
            continue
        page = (receipt.attempt.life, body["collected_at"])
        if made.created < newest.get(page, 0):
            yield f"{name} got {receipt.id} after a newer event of the same page"
        newest[page] = max(made.created, newest.get(page, 0))


def _nothing_missing(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    has = {receipt.id for receipt in destination.receipts} | evidence.letters[name]
    missing = {
        id_: made
        for id_, made in evidence.chronicle.made.items()
        if id_ not in has
        and _is_due(evidence, name, id_, made)
        and not _is_reported(evidence, made)
        and not (destination.refuses(id_) and hardships.refusals_forgotten(evidence.stage, destination))
    }
    # What was shown without its id is refused, loudly and counted.
    told = (line for _, _, line in evidence.chronicle.lines if line["event"] == "source.record_without_id")
    refused = sum(line["count"] for line in told)
    if len(missing) > refused:
        for id_, made in missing.items():
            since = f"made at {made.made:.3f}, visible at {made.visible:.3f}"
            yield f"{name} never got {id_} of {made.at}, {since}"


def _is_due(evidence: Evidence, name: str, id_: str, made: Made) -> bool:
    if made.made < evidence.stage.known_since.get(name, math.inf) and not _from_the_first(evidence, name):
        return False
    attributes = evidence.resources[id_]["attributes"]
    if any(_matches(pattern, attributes) for pattern in evidence.stage.excludes[name]):
        return False
    if evidence.plan.start == "all":
        return True
    if (start := parse_rfc3339(evidence.plan.start)) is not None:
        return made.created >= start and evidence.claims_its_own_time(id_, made)
    first = evidence.first_stored
    return first is not None and made.created >= first and evidence.claims_its_own_time(id_, made)


def _from_the_first(evidence: Evidence, name: str) -> bool:
    return evidence.stage.known_since[name] <= min(evidence.stage.known_since.values())


def _is_reported(evidence: Evidence, made: Made) -> bool:
    """Whether the account says that it may be lost, and it may."""
    for hole in evidence.source.holes:
        expired = hole.kind == "lost" and evidence.has_expired(made)
        unreadable = hole.kind == "unreadable" and evidence.answers & UNREADABLE
        if (expired or unreadable) and (hole.since or "") <= made.at <= (hole.until or "~"):
            return True
    begins = evidence.source.complete_from
    return evidence.has_expired(made) and begins is not None and begins != "beginning" and made.at <= begins


def _dead_letters_caused(evidence: Evidence, name: str, destination: Destination) -> Iterator[str]:
    for id_ in sorted(evidence.letters[name]):
        if not destination.refuses(id_) and id_ not in evidence.stage.storage.spoilt:
            yield f"{id_} is a dead letter of {name}, which would have taken it"
    for receipt in destination.receipts:
        if destination.refuses(receipt.id):
            yield f"{name} has {receipt.id}, which it refuses"  # the world itself would be wrong


def _matches(pattern: str, attributes: dict[str, Any]) -> bool:
    """Our own reading of ``METHOD path-glob``."""
    method, _, glob = pattern.partition(" ")
    return attributes["method"] == method and fnmatchcase(attributes["path"], glob)


def _difference(body: dict[str, Any], resource: dict[str, Any]) -> str | None:
    """What differs between what was delivered and what was made; None if nothing does."""
    attributes = resource["attributes"]
    if "attributes" in body:  # raw
        return next((key for key in resource if body.get(key) != resource[key]), None)
    request = body["request"]
    user = (resource.get("relationships", {}).get("user", {}).get("data") or {}).get("id")
    made = parse_rfc3339(attributes.get("created-at"))
    pairs = {
        "id": (body["id"], resource["id"]),
        "path": (request["path"], attributes["path"]),
        "method": (request["method"], attributes["method"]),
        "status": (request["status"], attributes["response-status"]),
        "get-params": (request["get_params"], attributes["get-params"]),
        "post-params": (request["post_params"], attributes["post-params"]),
        "address": (body["client"]["ip"], attributes["ip-address"]),
        "user": ((body.get("user") or {}).get("id"), user),
        "impersonator": (body["impersonator_email"], attributes["impersonator-email-address"]),
        "time": (parse_rfc3339(body["occurred_at"]), made),
        "malformed": (body.get("malformed", False), made is None),
    }
    return next((name for name, (got, wanted) in pairs.items() if got != wanted), None)
