"""An HTTP Event Collector of ours that behaves as Splunk was measured to, and knows which events it has indexed.

It is an oracle, not a stand-in for convenience. What it does is what a real Splunk Enterprise 10.4.3 and a Splunk Cloud
10.5 were measured to do, or what Splunk's own ``inputs.conf.spec``, ``limits.conf.spec`` and pages on indexer
acknowledgement say; each place says which. It reads JSON with the standard library, the forwarder with another.

indexer.py   what is accepted, indexed, acknowledged, and lost in a crash; no I/O
server.py    the HTTP around it, and faults on request
__main__.py  the same as a process, to be killed
"""

from tests.peers.hec.indexer import Indexer
from tests.peers.hec.server import ALL, TOKEN, HecServer, Scripted, Seen

__all__ = ["ALL", "TOKEN", "HecServer", "Indexer", "Scripted", "Seen"]
