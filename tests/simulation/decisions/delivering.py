"""What the workers decide in a world: what is sent next, what becomes of it, and how far a sink's cursor may go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from forwarder.clock import SECOND
from forwarder.collect.collector import UNAVAILABLE
from forwarder.delivery.batch import judge
from forwarder.delivery.window import Window
from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.journal import DeadLetter, StoredEvent
from tests.simulation.decisions.journal import Journal
from tests.simulation.decisions.oracle import Oracle
from tests.simulation.decisions.plan import Plan, Send


class Crash(Exception):
    """The process died; only the journal is left."""


@dataclass(slots=True)
class Worker:
    """What one sink's worker remembers."""

    name: str
    window: Window
    committed: int
    batches: list[list[tuple[int, str]]] = field(default_factory=list)
    paused_until: int = 0
    failures: int = 0


class Deliveries:
    """All that is sent in a world, by whichever life; workers are their life's, and come and go with it."""

    def __init__(self, plan: Plan, store: Journal, oracle: Oracle, random: Random) -> None:
        self.delivered: list[tuple[str, int, str]] = []
        self.dead: set[tuple[str, str]] = set()
        self.calm = False
        self._plan = plan
        self._store = store
        self._oracle = oracle
        self._random = random
        self._sends = 0
        self._refused = {made.id for made in plan.records if made.refused}

    def deliver(self, worker: Worker, now: int) -> bool:
        """Send one batch at *now*, microseconds; returns whether there was one to send."""
        dims = self._plan.dims
        if worker.paused_until > now:
            return False
        if not worker.batches:
            read = self._store.read(worker.window.last_read, dims.batch * dims.in_flight)
            for seq, id_ in read:
                worker.window.add(_stored(seq, id_))
            worker.batches = [list(read[at : at + dims.batch]) for at in range(0, len(read), dims.batch)]
            if not read:
                return False
        number = self._sends
        self._sends += 1
        batch = worker.batches.pop(number % min(dims.in_flight, len(worker.batches)))
        fate = Send.TAKEN if self.calm else self._plan.sends[number % len(self._plan.sends)]
        failure = self._send(worker.name, batch, fate, number, now)
        verdict = judge(len(batch), failure)
        worker.window.settle(seq for seq, _ in batch[: verdict.delivered])
        if verdict.dead is not None:
            seq, id_ = batch[verdict.dead]
            worker.window.bury(DeadLetter(seq, "persona", id_, "refused", 0, b"", None))
        worker.batches += [batch[begin:end] for begin, end in verdict.again]
        worker.batches.sort()
        if isinstance(failure, Retryable | Misconfigured):
            worker.failures += 1
            worker.paused_until = now + int(UNAVAILABLE.delay(worker.failures, self._random) * SECOND)
        else:
            worker.failures = 0
        self._commit(worker)
        if fate == Send.CRASH_COMMITTED:
            raise Crash
        return True

    def _commit(self, worker: Worker) -> None:
        cursor = worker.window.advance()
        if cursor <= worker.committed:
            return
        letters = worker.window.dead_up_to(cursor)
        self._store.commit(worker.name, cursor, {letter.seq: letter.id for letter in letters})
        worker.window.forget_dead(letters)
        worker.committed = cursor
        self._oracle.cursor(worker.name, cursor)
        self.dead |= {(worker.name, letter.id) for letter in letters}
        self._oracle.counts["dead letter"] += bool(letters)

    def _send(self, sink: str, batch: list[tuple[int, str]], fate: Send, dice: int, now: int) -> Failure | None:
        """What the destination does with a batch, and what it says."""
        match fate:
            case Send.DOWN:
                return Retryable("down", kind="connection")
            case Send.MISCONFIGURED:
                return Misconfigured("no such index")
        refused = next((at for at, (_, id_) in enumerate(batch) if id_ in self._refused), None)
        if refused is not None:
            taken = refused if self._plan.dims.refusal_names_event else 0
            self._take(sink, batch[:taken], now)
            return Refused("refused", at=refused if self._plan.dims.refusal_names_event else None)
        taken = dice % (len(batch) + 1) if fate in {Send.PART, Send.UNANSWERED} else len(batch)
        self._take(sink, batch[:taken], now)
        match fate:
            case Send.PART:
                return Retryable("busy", accepted=taken, kind="busy")
            case Send.UNANSWERED | Send.UNANSWERED_TAKEN:
                self._oracle.counts["send unanswered"] += 1
                self._oracle.unanswered(sink, [seq for seq, _ in batch])
                return Retryable("no answer", unanswered=True, kind="timeout")
            case Send.CRASH_SENT:
                raise Crash
        return None

    def _take(self, sink: str, batch: Sequence[tuple[int, str]], now: int) -> None:
        self._oracle.taken(sink, batch, now)
        self.delivered += [(sink, seq, id_) for seq, id_ in batch]


def _stored(seq: int, id_: str) -> StoredEvent:
    return StoredEvent(seq, "persona", id_, 0, 0, 0, None, None, b"{}", None)
