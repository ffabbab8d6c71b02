"""How each life was promised to end, and what it may not tell or leave behind."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from forwarder.journal.upkeep import check
from tests.peers.hec import TOKEN
from tests.simulation.acts import KEYS
from tests.simulation.life import Life
from tests.simulation.oracle import hardships
from tests.simulation.oracle.evidence import Evidence
from tests.simulation.stage import PERSONA
from tests.simulation.storage import DISK_TROUBLES
from tests.simulation.way import CREDENTIALS, PASSWORD


def violations(evidence: Evidence) -> Iterator[str]:
    """What of it was broken."""
    yield from _ends_as_promised(evidence)
    yield from _secrets_kept(evidence)
    for about in check(evidence.stage.state / "forwarder.db").disagreements:
        yield f"the journal's account does not agree with itself: {about}"
    disk = evidence.stage.disk
    if disk.seen:
        yield "what was to be redacted was on the disk"
    if disk.open_files():
        yield f"files were left open: {disk.open_files()}"


def _ends_as_promised(evidence: Evidence) -> Iterator[str]:
    excused = bool(evidence.kinds & DISK_TROUBLES)
    for life in evidence.stage.lives:
        if life.crashed or life.exit_status == 0:
            if life.exit_status == 0 and not life.asked_to_stop:
                yield f"life {life.number} ended with 0 and nobody had asked it to stop"
            if life.number in evidence.stage.mistaken:
                yield f"life {life.number} ran, and its configuration was wrong"
        elif life.exit_status == 78 and (
            life.number in evidence.stage.mistaken or _key_was_wrong_from_the_first(evidence, life)
        ):
            continue
        elif not (excused and life.exit_status == 73) and (
            life.exit_status not in hardships.hindered(evidence.stage, life.number)
        ):
            yield f"life {life.number} ended with {life.exit_status}: {life.reason}"
    for at, number, line in evidence.chronicle.lines:
        if _is_fault_of_ours(evidence, line):
            what = line.get("message") or repr(line.get("exc_info"))
            yield f"life {number} logged {line['event']} at {at:.3f}: {what}"
    known = {PERSONA[0], evidence.stage.way.first[0]}
    if strangers := {where for where in evidence.stage.network.dialled if where[0] not in known}:
        yield f"somebody called {strangers}"


def _secrets_kept(evidence: Evidence) -> Iterator[str]:
    """What a log line or a last word shows, whoever repeats it to us."""
    told = [*(repr(line) for _, _, line in evidence.chronicle.lines), *(life.reason for life in evidence.stage.lives)]
    for secret in (*KEYS, TOKEN, PASSWORD, quote(PASSWORD, safe=""), CREDENTIALS.decode()):
        if any(secret in text for text in told):
            yield f"the log shows the secret {secret}"
    if evidence.stage.way.overheard:
        yield "a server whose certificate nobody trusts was asked"


def _key_was_wrong_from_the_first(evidence: Evidence, life: Life) -> bool:
    """Whether Persona had not answered this life well, nor, with a key that it refuses, any life before it."""
    pages = [(at, of) for at, of, line in evidence.chronicle.lines if line["event"] == "source.page_collected"]
    if all(of != life.number for _, of in pages) and "foreign" in evidence.answers:
        return True
    return "key-revoked" in evidence.kinds and all(at > life.started for at, _ in pages)


def _is_fault_of_ours(evidence: Evidence, line: dict[str, Any]) -> bool:
    """Whether the line tells of a fault of the program, and not of one that the world put into it."""
    if line["event"] == "sink.faulty":
        return not evidence.answers & {"faulty", "absurd", "senseless"}
    return line["event"] in {"actor.failed", "actor.returned", "actor.left_behind", "library.message"}
