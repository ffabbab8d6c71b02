"""Kafka: each event a record of one topic, counted as delivered when all in-sync replicas have it.

settings.py     what it can be told
connection.py   how a broker is reached, and what its rejections mean
topic.py        what is asked of the brokers before anything is sent
records.py      an event as a record: key, time, headers
producer.py     aiokafka's producer, made to start and end cleanly
failures.py     what an error of a broker means for the events
sink.py         the sink: fills record batches, sends them, says which events are in
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

# Without a handler Python prints the library's warnings to standard error as bare text, between our JSON lines; what
# they say is in the reasons of our failures. A program that configures logging still gets them.
logging.getLogger(_library.__name__).addHandler(logging.NullHandler())
