"""``forwarder status``: what the journal can say, beside a running daemon or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forwarder.cli.context import settings_of
from forwarder.cli.table import print_table

if TYPE_CHECKING:
    from forwarder.journal.status import SourceStatus, Status


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show what is collected, open gaps, each sink's backlog and lag, and dead letters. Reads the journal only."""
    import orjson

    from forwarder.clock import SystemClock
    from forwarder.journal.status import read_status
    from forwarder.sinks.base import SinkContext

    settings = settings_of(ctx)
    found = read_status(settings.state.path, now=SystemClock().now())
    context = SinkContext("status", found.journal_id)
    promises = {one.name: one.sink_class(one.settings, context).promise for one in settings.sinks}
    if as_json:
        print(orjson.dumps(found.to_json() | {"promises": promises}, option=orjson.OPT_INDENT_2).decode())
        return
    _show(found, promises)


def _show(found: Status, promises: dict[str, str]) -> None:
    state = "in use by a daemon (or left by a crash)" if found.running else "not in use"
    print(f"journal {found.journal} ({found.journal_id}), {state}, {found.bytes['file']:,} bytes")
    for source in found.sources:
        _show_source(source)
    rows = [
        (
            sink.name,
            sink.kind,
            f"{sink.backlog_events:,}",
            f"{sink.lag_seconds:.0f} s",
            f"{sink.dead_letters:,}",
            promises.get(sink.name, "no longer configured; keeps its place"),
        )
        for sink in found.sinks
    ]
    print_table("Sinks", ("sink", "kind", "backlog", "lag", "dead letters", "promise"), rows)


def _show_source(source: SourceStatus) -> None:
    print(f"\nsource {source.name}: organization {source.organization_id or 'not known yet'}, {source.ids:,} ids known")
    print(f"  last good answer {source.last_success or 'none yet'}")
    if source.complete_until is None:
        print("  not complete yet: the first walk down is under way")
    else:
        print(f"  complete from {source.complete_from} to {source.complete_until}")
    for gap in source.open_gaps:
        bounds = f"{gap.since or '?'} to {gap.until or 'now'}"
        print(f"  open ({gap.kind}): {bounds}, read down to {gap.read_down_to or 'nothing yet'}")
    for hole in source.holes:
        print(f"  {hole.kind}: {hole.since} to {hole.until}")
