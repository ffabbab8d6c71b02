"""The simulator's own controls: make records, count, change the faults. Loopback only, as all of it.

======================================  =====================================================================
POST /_control/append?n=10              make records now; ``created_ago=60`` dates them back,
                                        ``visible_in=5`` hides them for some seconds; answers their ids
GET  /_control/made                     each id ever made, one JSON object a line, in the order made; ``from=100``
GET  /_control/made?summary=1           the counts only
GET  /_control/stats                    requests by status, by fault and by minute
POST /_control/faults?fault=429:0.05    replace the faults (several ``fault``, or none)
POST /_control/live?rate=5              records a second made from now on
======================================  =====================================================================
"""

from collections.abc import Callable

import orjson
from aiohttp import web

from forwarder.clock import format_rfc3339
from forwarder.simulator.faults import Faults, UnknownFault
from forwarder.simulator.stats import Stats
from forwarder.simulator.world import World

_CHUNK = 1000
_MOST = 1_000_000


class Control:
    """The handlers; :meth:`routes` mounts them."""

    def __init__(self, world: World, faults: Faults, stats: Stats, set_rate: Callable[[float], None]) -> None:
        self._world = world
        self._faults = faults
        self._stats = stats
        self._set_rate = set_rate

    def routes(self) -> list[web.RouteDef]:
        """Everything under ``/_control``."""
        return [
            web.post("/_control/append", self._append),
            web.get("/_control/made", self._made),
            web.get("/_control/stats", self._show_stats),
            web.post("/_control/faults", self._set_faults),
            web.post("/_control/live", self._live),
        ]

    async def _append(self, request: web.Request) -> web.Response:
        count = int(_number(request, "n", 1, most=_MOST))
        hidden = _number(request, "visible_in", 0) if "visible_in" in request.query else None
        ids = self._world.append(count, created_ago=_number(request, "created_ago", 0), visible_in=hidden)
        return _json({"appended": ids})

    async def _made(self, request: web.Request) -> web.StreamResponse:
        world = self._world
        if "summary" in request.query:
            return _json(
                {"made": world.made, "visible": len(world), "hidden": world.hidden, "expired": world.expired},
            )
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        first, end = int(_number(request, "from", 0)), world.made
        for start in range(first, end, _CHUNK):
            stop = min(start + _CHUNK, end)
            lines = [
                orjson.dumps({"id": made, "created_at": format_rfc3339(world.created_at(index))})
                for index, made in enumerate(world.ids(start, stop), start)
            ]
            await response.write(b"\n".join(lines) + b"\n")
        return response

    async def _show_stats(self, _: web.Request) -> web.Response:
        return _json(self._stats.as_json())

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            self._faults.set(request.query.getall("fault", []))
        except UnknownFault as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return _json({"faults": [f"{fault.kind}:{fault.probability}" for fault in self._faults.active]})

    async def _live(self, request: web.Request) -> web.Response:
        rate = _number(request, "rate", 0)
        self._set_rate(rate)
        return _json({"rate": rate})


def _number(request: web.Request, name: str, default: float, *, most: float = float("inf")) -> float:
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise web.HTTPBadRequest(text=f"{name} must be a number from 0 to {most}")
    return value


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content) + b"\n", content_type="application/json")
