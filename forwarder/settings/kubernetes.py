"""What Kubernetes puts into every container of a namespace that has a Service whose name begins with ``forwarder``.

For a Service ``forwarder-http`` on port 8080 these are (Kubernetes documentation, "Service", environment variables)::

    FORWARDER_HTTP_SERVICE_HOST=10.0.0.7        FORWARDER_HTTP_PORT=tcp://10.0.0.7:8080
    FORWARDER_HTTP_SERVICE_PORT=8080            FORWARDER_HTTP_PORT_8080_TCP=tcp://10.0.0.7:8080
    FORWARDER_HTTP_SERVICE_PORT_METRICS=8080    FORWARDER_HTTP_PORT_8080_TCP_ADDR, _PORT, _PROTO

They are known by the shape of name and value together, so that a mistyped variable of ours is not taken for one.
"""

import re
from ipaddress import ip_address

_URL = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")
_ADDRESS = re.compile(r"FORWARDER(?:_\w+)?_(?:SERVICE_HOST|PORT_\d+_(?:TCP|UDP|SCTP)_ADDR)")
_PORT = re.compile(r"FORWARDER(?:_\w+)?_(?:SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)_PORT)")
_PROTOCOL = re.compile(r"FORWARDER(?:_\w+)?_PORT_\d+_(?:TCP|UDP|SCTP)_PROTO")
_LINK = re.compile(r"FORWARDER(?:_\w+)?_PORT(?:_\d+_(?:TCP|UDP|SCTP))?")


def is_service_link(name: str, value: str) -> bool:
    """Whether this is ``…_PORT=tcp://address:port``: never a setting, even where a setting has that name."""
    return _LINK.fullmatch(name) is not None and _URL.fullmatch(value) is not None


def is_service_variable(name: str, value: str) -> bool:
    """Whether this is one of the variables that Kubernetes makes of a Service."""
    if is_service_link(name, value):
        return True
    if _ADDRESS.fullmatch(name):
        return _is_address(value)
    if _PORT.fullmatch(name):
        return re.fullmatch(r"\d{1,5}", value) is not None
    return _PROTOCOL.fullmatch(name) is not None and value in {"tcp", "udp", "sctp"}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
