"""Long runs of the syslog sink against real receivers, small by default; ``docs/acceptance.md`` has the large ones.

``SYSLOG_EVENTS`` sets how many events a round trip has, ``SYSLOG_KILLS`` how often a receiver or the daemon is killed,
``SYSLOG_HOSTILE`` how many hostile events there are.
"""

import os

EVENTS = int(os.environ.get("SYSLOG_EVENTS", "2000"))
KILLS = int(os.environ.get("SYSLOG_KILLS", "2"))
HOSTILE = int(os.environ.get("SYSLOG_HOSTILE", "300"))
