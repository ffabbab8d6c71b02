"""aioresponses under aiohttp 3.14, whose responses want a stream writer that aioresponses 0.7.9 does not give them.

The one place that knows; tests import :class:`Replies` from here.
"""

from typing import Any, Self
from unittest.mock import Mock

from aiohttp import ClientResponse
from aioresponses import aioresponses


class _WriterlessResponse(ClientResponse):
    """A response of a request that was never written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Replies(aioresponses):
    """Replies to aiohttp requests without a socket; used as aioresponses' own context manager is."""

    def __enter__(self) -> Self:
        """Begin to reply."""
        super().__enter__()
        return self

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Add a reply, as :meth:`aioresponses.aioresponses.add` does."""
        kwargs.setdefault("response_class", _WriterlessResponse)
        super().add(*args, **kwargs)
