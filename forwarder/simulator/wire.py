"""How an answer goes wrong on its way: cut, reset, stalled, slow, too large, redirected, or somebody else's."""

import gzip
import socket
import struct
from collections.abc import Callable, Mapping

from aiohttp import web

from forwarder.pulse import Pulse
from forwarder.simulator.endpoint import Answer

OVERSIZE = 80 << 20
"""Bytes that make a page too large."""

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
        case "too-large" | "told-large":
            return await _too_large(request, answer, oversize, told=kind == "told-large")
        case "gzip-large":
            body = gzip.compress(answer.body[:-1] + b" " * oversize + answer.body[-1:], 1, mtime=0)
            return web.Response(status=answer.status, body=body, headers=answer.headers | {"Content-Encoding": "gzip"})
        case _:
            return _at_once(request, answer, kind)


def _at_once(request: web.Request, answer: Answer, kind: str) -> web.Response:
    if kind in _SOMEBODY_ELSES:
        return _SOMEBODY_ELSES[kind](request, answer)
    change, encoding = _BODIES.get(kind, (bytes, ""))
    headers = {"Content-Encoding": encoding} if encoding else {}
    return web.Response(status=answer.status, body=change(answer.body), headers=answer.headers | headers)


def _redirect(request: web.Request, _: Answer) -> web.Response:
    return web.Response(status=302, headers={"Location": f"http://localhost:{request.url.port}/_elsewhere"})


def _come_back(_: web.Request, answer: Answer) -> web.Response:
    now = answer.headers["Date"]
    return web.Response(status=503, headers={"Date": now, "Retry-After": now})


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _pack_in_parts(body: bytes) -> bytes:
    half = len(body) // 2
    return _pack(body[:half]) + _pack(body[half:])


def _page(status: int, title: bytes) -> web.Response:
    return web.Response(status=status, body=_HTML % (title, title), content_type="text/html")


_SOMEBODY_ELSES: Mapping[str, Callable[[web.Request, Answer], web.Response]] = {
    "html": lambda *_: _page(502, b"Bad gateway"),
    "challenge": lambda *_: _page(403, b"Just a moment..."),
    "blank": lambda *_: web.Response(status=500),
    "quota": lambda *_: web.json_response({"errors": [{"title": "Quota exceeded"}]}, status=429),
    "unheard-of": lambda *_: web.Response(status=418),
    "accepted": lambda *_: web.Response(status=202),
    "portal": lambda *_: _page(200, b"Log in to this network"),
    "not-api": lambda *_: web.json_response({"status": "ok"}),
    "gateway": lambda *_: web.json_response({"message": "Forbidden"}, status=403),
    "proxy-auth": lambda *_: web.Response(status=407, headers={"Proxy-Authenticate": "Basic"}),
    "retry-at": _come_back,
    "retry-in": lambda *_: web.Response(status=503, headers={"Retry-After": "7"}),
    "retry-odd": lambda *_: web.Response(status=503, headers={"Retry-After": "soon"}),
    "redirect": _redirect,
}
"""Answers that are not the endpoint's."""

_BODIES: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "garbage": (lambda body: body[: len(body) // 2] + b"\x00\xff", ""),
    "nothing": (lambda _: b"", ""),
    "encoded": (bytes, "br"),
    "gzip": (_pack, "gzip"),
    "gzip-parts": (_pack_in_parts, "gzip"),
    "gzip-cut": (lambda body: _pack(body)[:-9], "gzip"),
    "gzip-broken": (lambda body: _pack(body)[: len(body) // 20] + b"\xff" * 40, "gzip"),
}
"""What becomes of the endpoint's own body, and the encoding that it bears."""


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
            # Before a piece: a pause after the last one would let the connection's next request wait unread.
            if await pulse.wait(_SLOW_PAUSE):
                break
            await response.write(answer.body[first : first + step])
        return response
    await response.write(answer.body[: len(answer.body) // 2])
    if kind == "stall":
        while request.transport is not None and not await pulse.wait(_WATCH):
            pass
    if request.transport is not None:
        request.transport.close()
    return response


async def _too_large(request: web.Request, answer: Answer, oversize: int, *, told: bool) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body) + oversize if told else None
    await response.prepare(request)
    # Space between the tokens is still JSON: nothing but the size is wrong with this page.
    await response.write(answer.body[:-1])
    for left in range(oversize, 0, -len(_PADDING)):
        await response.write(_PADDING[:left])
    await response.write(answer.body[-1:])
    return response
