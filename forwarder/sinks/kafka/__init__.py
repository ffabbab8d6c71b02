"""Kafka: each event a record of one topic, counted as delivered when all in-sync replicas have it.

settings.py      what it can be told
sink.py          the sink: opens, sends in one of two ways, says which events are in
transactions.py  exactly once: events and our position in one transaction, and nobody else in our place
batches.py       at least once: record batches side by side, each key's events in their order
checkpoint.py    our position, as a record in a compacted topic
rollback.py      what the topic has that a journal from a backup does not know of
probe.py         what ``check --live`` asks, without any effect
topic.py         what is asked of the brokers before anything is sent
packing.py       events as record batches; those that are too large are found before anything is sent
records.py       an event as a record: key, time, headers
producer.py      aiokafka's producer, made to start and end cleanly
reading.py       reading a partition as a ``read_committed`` consumer does
connection.py    how a broker is reached, and what its rejections mean
oauth.py, msk.py tokens to log in with
failures.py      what an error of a broker means for the events
"""

import logging

try:
    import aiokafka as _library
except ImportError as error:
    raise ImportError(
        "a sink of kind kafka needs aiokafka, which is not installed: pip install persona-siem-forwarder[kafka]"
    ) from error

from forwarder.sinks.kafka.settings import KafkaSettings
from forwarder.sinks.kafka.sink import KafkaSink

__all__ = ["KafkaSettings", "KafkaSink"]

# What the library would log is in the reasons of our failures; while brokers are away it says so ten times a second.
# A program that sets another level still gets all of it.
_log = logging.getLogger(_library.__name__)
if _log.level == logging.NOTSET:
    _log.setLevel(logging.CRITICAL)
