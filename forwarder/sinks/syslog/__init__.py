"""Syslog: over UDP, TCP, TLS, RELP, and RELP over TLS.

Only RELP has acknowledgements. For the others what is promised is what can be known: of UDP nothing; over TCP and TLS
``send`` returns when the peer's kernel has every byte and the connection has lived on for a settle time. What breaks
before that is sent again, so the tail at risk is an ordinary unacknowledged batch.

settings.py     what it can be told
message.py      an event as a message: RFC 5424, RFC 3164
shrinking.py    a message that is too long, made shorter without being cut
wire.py         a connection: TCP or TLS, and how asyncio is kept from hiding that it died
kernel.py       what the peer's kernel has acknowledged
stream.py       messages over a connection without acknowledgements
datagrams.py    messages over UDP
relp_frames.py  RELP's frames, pure
relp.py         a RELP session: a window of unacknowledged messages
dial.py         from a URL to an open way to its receiver
failover.py     which of several receivers is next
sink.py         the sink
"""

from forwarder.sinks.syslog.settings import SyslogSettings
from forwarder.sinks.syslog.sink import SyslogSink

__all__ = ["SyslogSettings", "SyslogSink"]
