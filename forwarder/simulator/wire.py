"""How an answer goes wrong on its way: cut, reset, stalled, slow, too large, redirected, or somebody else's."""

import gzip
import socket
import struct

from aiohttp import web

from forwarder.pulse import Pulse
from forwarder.simulator.endpoint import Answer

OVERSIZE = 80 << 20
"""Bytes of a page that is too large."""

_SLOW_PIECES = 20
_SLOW_PAUSE = 0.1
_WATCH = 0.05
_PADDING = b" " * (1 << 20)
_HTML = b"<!DOCTYPE html>\n<html><head><title>%s</title></head><body><h1>%s</h1></body></html>\n"


async def send(
    request: web.Request, answer: Answer, kind: str, pulse: Pulse, *, oversize: int = OVERSIZE
) -> web.StreamResponse:
    """Send *answer* as the fault *kind* has it, or whole if the fault is none of the wire's."""
    match kind:
        case "reset":
            return _reset(request)
        case "cut" | "stall" | "slow":
            return await _in_pieces(request, answer, kind, pulse)
        case "too-large":
            return await _too_large(request, answer, oversize)
        case _:
            return _at_once(request, answer, kind)


def _at_once(request: web.Request, answer: Answer, kind: str) -> web.Response:
    match kind:
        case "html":
            return _page(502, b"Bad gateway")
        case "challenge":
            return _page(403, b"Just a moment...")
        case "blank":
            return web.Response(status=500)
        case "quota":
            return web.json_response({"errors": [{"title": "Quota exceeded"}]}, status=429)
        case "redirect":
            return web.Response(status=302, headers={"Location": f"http://localhost:{request.url.port}/_elsewhere"})
    body, encoding = _encoded(answer.body, kind)
    return web.Response(status=answer.status, body=body, headers=answer.headers | encoding)


def _encoded(body: bytes, kind: str) -> tuple[bytes, dict[str, str]]:
    match kind:
        case "garbage":
            return body[: len(body) // 2] + b"\x00\xff", {}
        case "nothing":
            return b"", {}
        case "encoded":
            return body, {"Content-Encoding": "br"}
        case "gzip":
            return gzip.compress(body, mtime=0), {"Content-Encoding": "gzip"}
        case "gzip-cut":
            return gzip.compress(body, mtime=0)[:-9], {"Content-Encoding": "gzip"}
    return body, {}


def _page(status: int, title: bytes) -> web.Response:
    return web.Response(status=status, body=_HTML % (title, title), content_type="text/html")


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        # No lingering: close sends RST instead of FIN.
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=500)


async def _in_pieces(request: web.Request, answer: Answer, kind: str, pulse: Pulse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    if kind == "slow":
        step = len(answer.body) // _SLOW_PIECES + 1
        for first in range(0, len(answer.body), step):
            await response.write(answer.body[first : first + step])
            if await pulse.wait(_SLOW_PAUSE):
                break
        return response
    await response.write(answer.body[: len(answer.body) // 2])
    if kind == "stall":
        while request.transport is not None and not await pulse.wait(_WATCH):
            pass
    if request.transport is not None:
        request.transport.close()
    return response


async def _too_large(request: web.Request, answer: Answer, oversize: int) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    # Space between the tokens is still JSON: nothing but the size is wrong with this page.
    await response.write(answer.body[:-1])
    for _ in range(oversize // len(_PADDING)):
        await response.write(_PADDING)
    await response.write(answer.body[-1:])
    return response
