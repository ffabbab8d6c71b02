"""A stand-in for Kafka in this process, where there is no Java: the mock cluster inside librdkafka.

It speaks the protocol, keeps what is produced, breaks down and fails on request. It knows no limits, no access rules
and no administration: that takes the real broker of ``tests/peers/kafka.py``.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka

from tests.peers.kafka_reader import Record, read_topic

PRODUCE = 0
"""The protocol's number of a produce request."""

_NODE = 1
_FOREVER_MS = 3_600_000


def _load() -> ctypes.CDLL:
    (path,) = Path(confluent_kafka.__file__).parent.parent.glob("confluent_kafka.libs/librdkafka*")
    library = ctypes.CDLL(str(path))
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
        ("rd_kafka_mock_broker_set_down", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", number, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_rtt", number, [pointer, ctypes.c_int32, number]),
        ("rd_kafka_mock_push_request_errors_array", None, [pointer, ctypes.c_int16, ctypes.c_size_t, pointer]),
        ("rd_kafka_mock_clear_request_errors", None, [pointer, ctypes.c_int16]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class StandIn:
    """One mock cluster of one broker."""

    def __init__(self) -> None:
        self._library = _load()
        reason = ctypes.create_string_buffer(512)
        conf = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(conf, b"log_level", b"0", reason, len(reason))
        self._handle = self._library.rd_kafka_new(0, conf, reason, len(reason))
        assert self._handle, reason.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, 1)
        self.address: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def close(self) -> None:
        """End it, and what it keeps."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)

    def create_topic(self, name: str, *, partitions: int = 3) -> None:
        """Create a topic."""
        assert not self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)

    def break_down(self) -> None:
        """Cut every connection, and take none."""
        assert not self._library.rd_kafka_mock_broker_set_down(self._cluster, _NODE)

    def stall(self) -> None:
        """Keep the connections, and answer nothing."""
        assert not self._library.rd_kafka_mock_broker_set_rtt(self._cluster, _NODE, _FOREVER_MS)

    def mend(self) -> None:
        """End :meth:`break_down` and :meth:`stall`."""
        assert not self._library.rd_kafka_mock_broker_set_rtt(self._cluster, _NODE, 0)
        assert not self._library.rd_kafka_mock_broker_set_up(self._cluster, _NODE)

    def fail(self, request: int, codes: Sequence[int]) -> None:
        """Answer the next requests of kind *request* with these error codes, one each (0 is none)."""
        wanted = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(codes), wanted)

    def succeed(self, request: int) -> None:
        """Forget what is left of :meth:`fail`."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, request)

    def read(self, topic: str) -> list[Record]:
        """Read all of *topic*."""
        return read_topic(self.address, topic)
