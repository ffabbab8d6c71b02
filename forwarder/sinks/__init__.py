"""The destinations, by kind. Ours are loaded only when configured; others come by the entry point group.

A package that offers a sink declares it in its metadata::

    [project.entry-points."forwarder.sinks"]
    mykind = "mypackage.module:MySink"
"""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from forwarder.sinks.base import Sink

ENTRY_POINT_GROUP = "forwarder.sinks"

_BUILT_IN = {
    "stdout": "forwarder.sinks.stdout:StdoutSink",
    "file": "forwarder.sinks.file:FileSink",
    "kafka": "forwarder.sinks.kafka:KafkaSink",
    "syslog": "forwarder.sinks.syslog:SyslogSink",
    "splunk_hec": "forwarder.sinks.splunk_hec:SplunkHecSink",
}


def sink_kinds() -> list[str]:
    """Every kind that can be configured here: ours first, then those of installed packages."""
    return [*_BUILT_IN, *sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)} - set(_BUILT_IN))]


def sink_class(kind: str) -> type[Sink[Any]]:
    """The class behind *kind*.

    :raises KeyError: no such kind
    :raises ImportError: its library is not installed; the message names what to install
    """
    if kind in _BUILT_IN:
        module, _, name = _BUILT_IN[kind].partition(":")
        loaded = getattr(import_module(module), name)
    else:
        loaded = entry_points(group=ENTRY_POINT_GROUP)[kind].load()
    if not (isinstance(loaded, type) and issubclass(loaded, Sink)):
        raise TypeError(
            f"the entry point {kind} of group {ENTRY_POINT_GROUP} is not a subclass of forwarder.sinks.base.Sink"
        )
    return loaded
