"""What a Kafka sink can be told, and how it says no."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from forwarder.secret import Secret
from forwarder.sinks.base import SinkContext
from forwarder.sinks.kafka import KafkaSettings, KafkaSink

LOGIN = {"security_protocol": "SASL_SSL", "sasl_username": "alice", "sasl_password": Secret("hidden")}


def wrong_fields(**settings: Any) -> dict[str, str]:
    """Read settings, and return each wrong field with what is said of it."""
    with pytest.raises(ValidationError) as raised:
        KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", **settings})
    return {str(problem["loc"][0]): problem["msg"] for problem in raised.value.errors()}


def test_brokers_alone_are_enough() -> None:
    settings = KafkaSettings.model_validate({"bootstrap_servers": "one:9092, two:9093,[::1]:9094"})
    assert settings.bootstrap_servers == ["one:9092", "two:9093", "[::1]:9094"]
    assert settings.topic == "persona.user-audit-logs"
    assert settings.delivery == "at-least-once"
    assert settings.message_key == "user"
    assert not settings.create_topics


@pytest.mark.parametrize("servers", ["", ",", "kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "kafka:x"])
def test_brokers_are_named_by_host_and_port(servers: str) -> None:
    assert list(wrong_fields(bootstrap_servers=servers)) == ["bootstrap_servers"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delivery", "exactly-once"),
        ("transactional_id", "mine"),
        ("checkpoint_topic", "mine"),
        ("sasl_mechanism", "OAUTHBEARER"),
        ("oauth_token_url", "https://example.com/token"),
        ("oauth_client_id", "mine"),
        ("oauth_client_secret", Secret("mine")),
        ("oauth_scope", "mine"),
    ],
)
def test_what_this_version_lacks_is_refused_by_name(field: str, value: Any) -> None:
    problems = wrong_fields(**{field: value})
    assert list(problems) == [field]
    assert "not in this version yet" in problems[field]


def test_a_login_needs_a_name_and_a_password() -> None:
    assert list(wrong_fields(security_protocol="SASL_SSL")) == ["sasl_username", "sasl_password"]
    assert KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", **LOGIN}).sasl_username == "alice"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_login_that_nothing_would_use_is_an_error(protocol: str) -> None:
    assert list(wrong_fields(**LOGIN | {"security_protocol": protocol})) == ["sasl_username", "sasl_password"]


def test_one_name_cannot_stand_for_several_brokers() -> None:
    assert list(wrong_fields(tls_server_name="kafka")) == ["tls_server_name"]


def test_every_codec_is_installed_with_the_extra() -> None:
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", "compression": codec})


def test_it_names_brokers_and_topic_and_no_secret() -> None:
    settings = KafkaSettings.model_validate({"bootstrap_servers": "one:9092,two:9092", **LOGIN})
    sink = KafkaSink(settings, SinkContext("kafka", "journal"))
    assert sink.destination == "kafka://one:9092,two:9092/persona.user-audit-logs"
    assert sink.promise == "stored"
    assert "hidden" not in repr(settings)


def test_without_its_library_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['aiokafka'] = None; from forwarder.sinks import sink_class; sink_class('kafka')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: a sink of kind kafka needs aiokafka" in done.stderr
    assert "pip install persona-siem-forwarder[kafka]" in done.stderr
