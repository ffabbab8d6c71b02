"""What ``forwarder check --live`` tries: one record from each source, one connection to each sink."""

import asyncio
from dataclasses import dataclass

from forwarder import __version__
from forwarder.clock import SystemClock
from forwarder.collect.persona import PersonaApi
from forwarder.errors import Failure, JournalDamaged, JournalUnavailable
from forwarder.journal.status import read_status
from forwarder.metrics import Metrics
from forwarder.settings import Settings, SinkInstance, SourceInstance
from forwarder.sinks.base import SinkContext


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying one source or sink."""

    name: str
    works: bool
    finding: str


async def try_out(settings: Settings) -> list[Trial]:
    """Try every source and sink, all at once; in the order of the configuration, sources first."""
    journal_id = _journal_id(settings)
    return await asyncio.gather(
        *(_ask(source) for source in settings.sources),
        *(_open(sink, journal_id) for sink in settings.sinks),
    )


def _journal_id(settings: Settings) -> str:
    """The journal's id where there is one, since a destination may know it; it is only read."""
    try:
        return read_status(settings.state.path, now=0, backlog_bytes=0).journal_id
    except (JournalUnavailable, JournalDamaged):
        return "check"


async def _ask(source: SourceInstance) -> Trial:
    """Ask for the newest record, and keep nothing of it."""
    api = PersonaApi(source.settings, metrics=Metrics(__version__), name=source.name, clock=SystemClock())
    try:
        page = await api.fetch_page(None, 1)
    except Failure as failure:
        return Trial(source.name, works=False, finding=failure.reason)
    finally:
        await api.close()
    organization = page.organization_id or "not named by Persona"
    found = "a record" if page.records else "no record, as the log is empty"
    return Trial(source.name, works=True, finding=f"{found}; organization {organization}, in {page.elapsed:.2f} s")


async def _open(instance: SinkInstance, journal_id: str) -> Trial:
    """Find out whether it would work, and send nothing."""
    sink = instance.sink_class(instance.settings, SinkContext(instance.name, journal_id))
    try:
        async with asyncio.timeout(instance.settings.timeout):
            await sink.probe()
    except Failure as failure:
        return Trial(instance.name, works=False, finding=failure.reason)
    except TimeoutError:
        return Trial(instance.name, works=False, finding=f"no answer within {instance.settings.timeout:g} s")
    finally:
        await sink.close()
    return Trial(instance.name, works=True, finding="; ".join([f"opened {sink.destination}", *sink.warnings]))
