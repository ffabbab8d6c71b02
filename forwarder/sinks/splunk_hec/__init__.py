"""Splunk's HTTP Event Collector, by its ``/event`` endpoint, with indexer acknowledgement where the token has it.

settings.py     what it can be told
envelope.py     an event in the envelope that Splunk wants; envelopes in bodies that it takes
sizes.py        the largest body, learnt from refusals
replies.py      what each reply means for the events of a request: a table, and the function that reads it
wire.py         one exchange over HTTP, and what its errors mean
channel.py      a channel of acknowledgements: which are awaited, which have come, when they are lost
lane.py         one connection to one collector, with its channel, and the polls for its acknowledgements
rota.py         which of several collectors is next, and which are left out for a while
questions.py    what is asked of a collector before anything is sent
sink.py         the sink: divides batches, sends them, waits for proof, says which events are in
"""

from forwarder.sinks.splunk_hec.settings import SplunkHecSettings
from forwarder.sinks.splunk_hec.sink import SplunkHecSink

__all__ = ["SplunkHecSettings", "SplunkHecSink"]
