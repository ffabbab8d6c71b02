"""``forwarder dead-letters``: what sinks refused for good."""

from __future__ import annotations

from typing import Annotated

import typer

from forwarder.cli.context import settings_of
from forwarder.cli.table import print_table

app = typer.Typer(name="dead-letters", help="What a sink refused for good.", no_args_is_help=True)


@app.command("list")
def list_letters(
    ctx: typer.Context,
    sink: Annotated[str | None, typer.Option(help="Only those of this sink.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
) -> None:
    """List dead letters, newest first: when, which sink, which event, why."""
    from forwarder.clock import format_rfc3339
    from forwarder.journal.letters import list_dead_letters

    filed = list_dead_letters(settings_of(ctx).state.path, sink, limit=limit)
    if not filed:
        print("no dead letters")
        return
    rows = [(format_rfc3339(one.letter.at), one.sink, one.letter.id, one.letter.reason) for one in filed]
    print_table("Dead letters", ("refused at", "sink", "event", "reason"), rows)


@app.command("show")
def show(
    ctx: typer.Context,
    event_id: Annotated[str, typer.Argument(help="The log's id, as `ual_…`.")],
) -> None:
    """Print one event that was refused, whole, as a JSON line for each sink that refused it."""
    import orjson

    from forwarder.clock import format_rfc3339
    from forwarder.journal.letters import find_dead_letters

    filed = find_dead_letters(settings_of(ctx).state.path, event_id)
    if not filed:
        print(f"no sink refused an event {event_id}; `forwarder dead-letters list` shows those that there are")
        raise typer.Exit(1)
    for one in filed:
        letter = one.letter
        shown = {
            "sink": one.sink,
            "refused_at": format_rfc3339(letter.at),
            "reason": letter.reason,
            "source": letter.source,
            "resource": orjson.loads(letter.body),
            "user": None if letter.user is None else orjson.loads(letter.user),
        }
        print(orjson.dumps(shown).decode())
