"""``forwarder simulate``: a local stand-in for Persona, until SIGTERM or SIGINT."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from forwarder.simulator import SimulatedPersona

# One paragraph a line: the help is folded to the terminal's width.
EPILOG = """
Faults are a status (400, 401, 403, 404, 408, 429, 500, 502, 503, 504), html, challenge, blank, quota, garbage,
cut, reset, stall, slow, redirect, cursor-lost, repeat, shuffled, gzip, gzip-cut, gzip-broken, gzip-parts, gzip-large,
encoded, nothing, retry-at, retry-in, retry-odd, unheard-of, accepted, portal, not-api, gateway, proxy-auth,
unpermitted, wordy, rate-unsaid, rate-half, rate-odd, astray, nested, deep, no-links, no-list, lenient, nameless,
foreign, told-large or too-large.

The same server is controlled under /_control:

POST append?n=10 makes records; created_ago=60 dates them back, visible_in=5 hides them for a while.

GET made lists every id ever made, one JSON object a line; summary=1 only counts.

GET stats counts requests by status, fault and minute.

POST faults?fault=429:0.05&fault=cut:0.1 replaces the faults.

POST live?rate=5 changes how many records a second are made.
"""


class LostCursor(StrEnum):
    """How a cursor that is not known shows; Persona documents none."""

    BAD_REQUEST = "400"
    NOT_FOUND = "404"
    EMPTY = "empty"
    PAGE_ONE = "page-one"


def simulate(
    seed: Annotated[int, typer.Option(help="The same seed makes the same organization.")] = 1,
    records: Annotated[int, typer.Option(min=0, max=50_000_000, help="Records of its history.")] = 10_000,
    days: Annotated[float, typer.Option(min=0.01, max=180, help="How long ago the history begins.")] = 30.0,
    rate: Annotated[float, typer.Option(min=0, help="New records a second.")] = 0.5,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 picks a free one.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:PROBABILITY", help="Let this share of requests go wrong. May be repeated."),
    ] = None,
    late: Annotated[float, typer.Option(min=0, max=1, help="Share of new records that become visible late.")] = 0.0,
    late_by: Annotated[float, typer.Option(min=0, help="At most so many seconds late.")] = 30.0,
    odd: Annotated[
        float, typer.Option(min=0, max=1, help="Share of records that are hard to read, as wrong dates.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=1, help="Requests a minute before 429.")] = 300,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that each answer takes.")] = 0.0,
    lost_cursor: Annotated[LostCursor, typer.Option(help="What an unknown cursor gets.")] = LostCursor.NOT_FOUND,
    api_key: Annotated[
        str, typer.Option(help="The key that is valid.", show_default=True)
    ] = "persona_production_simulated",
) -> None:
    """Serve a simulated organization's audit log on 127.0.0.1, as Persona would, until SIGTERM or SIGINT.

    Persona's sandbox serves no audit logs: this is the way to try the forwarder without production data.
    """
    import asyncio

    from forwarder.simulator import Behaviour, SimulatedPersona, UnknownFault, World

    try:
        persona = SimulatedPersona(
            World(seed=seed, records=records, days=days, late=late, late_by=late_by, odd=odd),
            faults=fault or (),
            behaviour=Behaviour(lost_cursor=lost_cursor.value, latency=latency),
            api_keys=(api_key,),
            limit=limit,
            live_rate=rate,
            port=port,
        )
    except UnknownFault as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from error
    asyncio.run(_serve(persona))


async def _serve(persona: SimulatedPersona) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await persona.start()
    except OSError as error:
        raise typer.BadParameter(f"cannot listen there: {error.strerror}", param_hint="--port") from error
    try:
        print(announcement(persona), flush=True)
        await stop.wait()
    finally:
        await persona.close()


def announcement(persona: SimulatedPersona) -> str:
    """The one line that the command prints: where it is, and how a forwarder is pointed at it."""
    return (
        f"simulated Persona with {persona.world.made} records: "
        f"FORWARDER_PERSONA_BASE_URL={persona.url} FORWARDER_PERSONA_API_KEY={persona.api_key}"
    )
