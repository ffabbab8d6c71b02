"""An HTTP body into memory, never more of it than allowed, however well it was compressed."""

import zlib
from collections.abc import Iterator

from aiohttp import ClientResponse, StreamReader

ACCEPT_ENCODING = "gzip"
"""What we ask for. Decompression is our own, so that a bomb is stopped at the limit and not after it."""

_STEP = 1 << 18
"""Most bytes that one step of decompression makes."""


class TooLarge(Exception):
    """The body is larger than allowed; what was read of it is gone."""


class Damaged(Exception):
    """The body is not in the encoding that its header says, or ends before its end."""


async def read_body(response: ClientResponse, limit: int) -> bytes:
    """Read the whole body, decompressed, from a session that leaves decompression to us.

    :raises TooLarge: it is larger than *limit* bytes; the rest was not read
    :raises Damaged: it cannot be decompressed, or its compressed stream is cut
    """
    # A compressed body is practically never larger than the plain one, so this holds for both.
    if (response.content_length or 0) > limit:
        raise TooLarge
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"gzip", "x-gzip"}:
        return await _read_gzip(response.content, limit)
    if encoding in {"", "identity"}:
        return await _read_plain(response.content, limit)
    raise Damaged(f"it came in the encoding {encoding[:40]!r}, which was not asked for")


async def read_beginning(response: ClientResponse, limit: int) -> bytes:
    """Read a body that only explains a status: its first *limit* bytes, or none where it cannot be read so."""
    try:
        return await read_body(response, limit)
    except (TooLarge, Damaged):
        return b""


async def _read_plain(content: StreamReader, limit: int) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > limit:
            raise TooLarge
    return bytes(body)


async def _read_gzip(content: StreamReader, limit: int) -> bytes:
    body = bytearray()
    stream = _Gunzip()
    async for chunk in content.iter_any():
        for piece in stream.feed(chunk):
            body += piece
            if len(body) > limit:
                raise TooLarge
    if not stream.complete:
        raise Damaged("its compressed stream ends before its end")
    return bytes(body)


class _Gunzip:
    """A gzip stream (RFC 1952) of one or more members, decompressed a bounded step at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._touched = False

    @property
    def complete(self) -> bool:
        """Whether the stream may end here: nothing came at all, or the last member is whole."""
        return self._member.eof or not self._touched

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        pending = chunk
        while pending:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            self._touched = True
            try:
                yield self._member.decompress(pending, _STEP)
            except zlib.error as error:
                raise Damaged(f"it is not the gzip that it says: {error}") from error
            pending = self._member.unconsumed_tail or self._member.unused_data
