"""Variables that Kubernetes makes of Services, and none of ours taken for one."""

import pytest

from forwarder.settings.kubernetes import is_service_link, is_service_variable


@pytest.mark.parametrize("service", ["FORWARDER", "FORWARDER_HTTP", "FORWARDER_SOC_EU"])
@pytest.mark.parametrize(
    ("end", "value"),
    [
        ("_SERVICE_HOST", "10.0.0.7"),
        ("_SERVICE_HOST", "fd00::7"),
        ("_SERVICE_PORT", "8080"),
        ("_SERVICE_PORT_HTTP", "8080"),
        ("_SERVICE_PORT_HTTP_METRICS", "8080"),
        ("_PORT", "tcp://10.0.0.7:8080"),
        ("_PORT", "tcp://[fd00::7]:8080"),
        ("_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("_PORT_8080_TCP_PORT", "8080"),
        ("_PORT_8080_TCP_PROTO", "tcp"),
        ("_PORT_514_UDP", "udp://10.0.0.7:514"),
        ("_PORT_514_UDP_PROTO", "udp"),
    ],
)
def test_what_kubernetes_makes_of_a_service_is_recognized(service: str, end: str, value: str) -> None:
    assert is_service_variable(service + end, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORWARDER_HTTP_PORT", "8080"),
        ("FORWARDER_HTTP_PORT", "tcp://"),
        ("FORWARDER_HTTP_HOST", "10.0.0.7"),
        ("FORWARDER_SYSLOG_URL", "tcp://10.0.0.7:514"),
        ("FORWARDER_SERVICE_HOST", "splunk.example"),
        ("FORWARDER_SERVICE_PORT", "http"),
        ("FORWARDER_SERVICE", "10.0.0.7"),
        ("FORWARDER_PORT_8080_TCP_ADDR", "somewhere"),
        ("FORWARDER_PORT_8080_SSH_ADDR", "10.0.0.7"),
        ("FORWARDER_SOC_SPORT", "tcp://10.0.0.7:514"),
    ],
)
def test_what_only_looks_like_it_is_not(name: str, value: str) -> None:
    assert not is_service_variable(name, value)


def test_a_link_is_told_from_a_port_number() -> None:
    """A Service named forwarder-http gives our own variable a value that is none for us."""
    assert is_service_link("FORWARDER_HTTP_PORT", "tcp://10.0.0.7:8080")
    assert not is_service_link("FORWARDER_HTTP_PORT", "8080")
