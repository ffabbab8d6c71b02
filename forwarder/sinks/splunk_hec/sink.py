"""The sink: divides a batch into requests, sends them, waits for proof, and says which events are in.

The proof is HTTP 200 or, where the token has indexer acknowledgement, Splunk's word that it has indexed the request.
Nothing about acknowledgements outlives the process: what has none at a crash is sent again.
"""

import asyncio
import gzip
from collections.abc import Sequence
from typing import ClassVar

from forwarder.errors import Failure, Misconfigured, Refused, Retryable
from forwarder.sinks.base import Item, Sink, SinkContext
from forwarder.sinks.splunk_hec import questions
from forwarder.sinks.splunk_hec.envelope import envelope, requests
from forwarder.sinks.splunk_hec.lane import Habits, Lane
from forwarder.sinks.splunk_hec.replies import (
    ABOUT_ACKNOWLEDGEMENT,
    Answer,
    Request,
    strained,
    suspects_size,
    verdict,
)
from forwarder.sinks.splunk_hec.rota import Rota
from forwarder.sinks.splunk_hec.settings import SplunkHecSettings
from forwarder.sinks.splunk_hec.sizes import BodyLimit
from forwarder.sinks.splunk_hec.wire import Wire
from forwarder.variables import stem

CONNECTIONS = 4
"""Connections over all collectors, at least one to each; as many requests are under way at once."""

AWAITING = 16
"""Batches in flight where each waits about a second for its acknowledgement."""

Proof = asyncio.Future[None]


class SplunkHecSink(Sink[SplunkHecSettings]):
    """Posts batches to one or several collectors over a few kept connections."""

    kind: ClassVar[str] = "splunk_hec"
    settings_model = SplunkHecSettings

    def __init__(self, settings: SplunkHecSettings, context: SinkContext) -> None:
        super().__init__(settings, context)
        self._prefix = f"{stem(context.name)}_"
        self._limit = BodyLimit(settings.max_body_bytes)
        self._rota = Rota(len(settings.url))
        self._habits = [Habits() for _ in settings.url]
        self._lanes: list[list[Lane]] = []  # by collector
        self._acks: bool | None = {"auto": None, "on": True, "off": False}[settings.ack]
        self._strained = False

    @property
    def max_in_flight(self) -> int:
        """A batch for each connection, or more where acknowledgements are waited for."""
        return CONNECTIONS if self._acks is False else AWAITING

    @property
    def longest_send(self) -> float:
        """The requests of a batch, and the wait for its acknowledgement."""
        return self.settings.timeout + (0.0 if self._acks is False else self.settings.ack_timeout)

    @property
    def strained(self) -> bool:
        """Whether the last reply was a code 24 or 25."""
        return self._strained

    @property
    def warnings(self) -> Sequence[str]:
        """That certificates are not verified."""
        if not self.settings.tls_insecure_skip_verify:
            return ()
        setting = f"{self._prefix}TLS_INSECURE_SKIP_VERIFY"
        return (f"certificates are not verified: who is on the way can read the events and the token ({setting})",)

    @property
    def promise(self) -> str:
        """What the collector proves; with ACK=auto it is known once the sink was opened."""
        return "indexed" if self._acks else "accepted"

    @property
    def destination(self) -> str:
        """The collectors' URLs without their path."""
        return ", ".join(self.settings.url)

    async def open(self) -> None:
        """Ask the collectors whether they can be used and speak acknowledgement; one that answers well is enough."""
        await self._connect()
        well = self._rota.well(self._now())
        answers = await self._ask(well)
        if all(isinstance(one, Failure) for one in answers):  # those that are left out may be back
            answers += await self._ask([which for which in range(len(self._lanes)) if which not in well])
        spoken = [one for one in answers if not isinstance(one, Failure)]
        if not spoken:
            raise _worst(answers)
        self._settle_on(spoken)

    async def probe(self) -> None:
        """Ask every collector all that can be asked without sending an event; one that fails is a failure."""
        await self._connect()
        answers = await self._ask(range(len(self._lanes)))
        spoken = [one for one in answers if not isinstance(one, Failure)]
        if len(spoken) < len(answers):
            raise _worst(answers)
        self._settle_on(spoken)
        for lanes in self._lanes:
            await questions.check(lanes[0].wire, self.settings, self._prefix)

    async def send(self, batch: Sequence[Item]) -> None:
        """Return once Splunk has accepted or, with acknowledgement, indexed all of *batch*."""
        if not self._lanes:
            raise Retryable("the sink is not open")
        proofs: list[tuple[int, Proof]] = []
        before, failure = 0, None
        try:
            for envelopes in requests([envelope(item, self.settings) for item in batch], self._limit.bytes):
                body = b"\n".join(envelopes)
                request = Request(before, [len(one) for one in envelopes], self._prefix)
                failure, proof = await self._request(body, request, first=batch[before].seq)
                if proof is not None:
                    proofs.append((before, proof))
                if failure is not None:
                    break
                before += len(envelopes)
            await _proven(proofs)
        finally:
            for _, proof in proofs:
                proof.cancel()  # whoever was cancelled while it waited awaits nothing any more
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Close the connections.

        The worker does so after every failure, which matters after code 23: a server that shuts down keeps its
        connections alive, and behind a Service of Kubernetes we would stay with the dying pod.
        """
        lanes, self._lanes = self._lanes, []
        for lane in (lane for some in lanes for lane in some):
            await lane.close()

    async def _connect(self) -> None:
        """Make the lanes anew; files are read, no connection is made yet."""
        await self.close()
        settings, each = self.settings, max(1, CONNECTIONS // len(self.settings.url))
        for url, habits in zip(settings.url, self._habits, strict=True):
            self._lanes.append([])
            for _ in range(each):
                wire = Wire(url, settings, self._prefix)
                self._lanes[-1].append(Lane(wire, ack_timeout=settings.ack_timeout, habits=habits))

    async def _ask(self, collectors: Sequence[int]) -> list[bool | Failure]:
        """Ask each of *collectors* whether it speaks acknowledgement, all at once, and note which of them failed."""

        async def ask(which: int) -> bool | Failure:
            try:
                spoken = await questions.speaks_acknowledgement(self._lanes[which][0].wire, self.settings, self._prefix)
            except Failure as failure:
                self._rota.failed(which, self._now())
                return failure
            self._rota.worked(which)
            return spoken

        return await asyncio.gather(*map(ask, collectors))

    def _settle_on(self, spoken: Sequence[bool]) -> None:
        """Send with acknowledgement or without, as all collectors that answered want it."""
        if len(set(spoken)) > 1:
            raise Misconfigured(
                "the token has indexer acknowledgement at some of the URLs only: make them alike, or set on or off "
                f"({self._prefix}ACK)"
            )
        self._acks = spoken[0]

    async def _request(self, body: bytes, request: Request, *, first: int) -> tuple[Failure | None, Proof | None]:
        """Send one request to the next collector that can be reached; what failed, and the proof to wait for."""
        headers = {"Content-Type": "application/json"}
        if self.settings.gzip:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        failure: Failure | None = None
        for which in self._rota.order(self._now()):
            lane = min(self._lanes[which], key=lambda one: one.load)
            try:
                answer, proof = await lane.post(body, headers, acks=bool(self._acks))
            except (Retryable, Misconfigured) as unanswered:
                failure = unanswered
                failure.accepted = request.before
                self._rota.failed(which, self._now())
                if isinstance(failure, Retryable) and failure.unanswered:
                    return failure, None
                continue  # no connection was made: another collector may be there
            failure = self._judge(answer, request, first, proof)
            if isinstance(failure, Retryable) and failure.kind != "refused":
                self._rota.failed(which, self._now())
                if failure.unanswered:
                    lane.distrust(failure.reason)
            if answer.code == 25:
                lane.hurry()
            return failure, proof
        return failure, None

    def _judge(self, answer: Answer, request: Request, first: int, proof: Proof | None) -> Failure | None:
        """Decide what *answer* means, and learn from it."""
        self._strained = strained(answer)
        failure = verdict(answer, request)
        if failure is None:
            self._limit.taken(first, request.bytes)
            if self._acks and proof is None:
                reason = "Splunk gave no acknowledgement id, though it speaks acknowledgement; set off"
                return Retryable(f"{reason} ({self._prefix}ACK)", accepted=request.before, unanswered=True, kind="ack")
        elif answer.status == 413 and request.sent > 1:
            self._limit.too_large(request.bytes)
        elif isinstance(failure, Refused) and suspects_size(answer, request):
            self._limit.suspect(first, request.bytes)
        elif self.settings.ack == "auto" and answer.code in ABOUT_ACKNOWLEDGEMENT:
            # The token was changed: opening again finds out.
            return Retryable(failure.reason, accepted=request.before, kind="ack")
        return failure

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _worst(answers: Sequence[bool | Failure]) -> Failure:
    """Choose the failure that the operator should hear of: one that he has to mend, else the first."""
    failures = [one for one in answers if isinstance(one, Failure)]
    return next((one for one in failures if isinstance(one, Misconfigured)), failures[0])


async def _proven(proofs: Sequence[tuple[int, Proof]]) -> None:
    """Wait for each proof in turn.

    :raises Retryable: one was lost; what comes before it is in
    """
    for before, proof in proofs:
        try:
            await proof
        except Retryable as lost:
            lost.accepted = before
            raise
