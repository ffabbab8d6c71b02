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
    assert settings.delivery == "exactly-once"
    assert settings.message_key == "user"
    assert not settings.create_topics


@pytest.mark.parametrize("servers", ["", ",", "kafka", "kafka:", ":9092", "kafka:0", "kafka:65536", "kafka:x"])
def test_brokers_are_named_by_host_and_port(servers: str) -> None:
    assert list(wrong_fields(bootstrap_servers=servers)) == ["bootstrap_servers"]


@pytest.mark.parametrize("field", ["transactional_id", "checkpoint_topic"])
def test_what_belongs_to_transactions_is_refused_without_them(field: str) -> None:
    assert list(wrong_fields(delivery="at-least-once", **{field: "mine"})) == [field]
    assert KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", field: "mine"}).delivery == "exactly-once"


def test_the_position_has_a_topic_of_its_own() -> None:
    settings = KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", "topic": "audit"})
    assert settings.topics == ["audit", "audit.checkpoint"]
    assert list(wrong_fields(topic="audit", checkpoint_topic="audit")) == ["checkpoint_topic"]
    settings = KafkaSettings.model_validate(
        {"bootstrap_servers": "kafka:9092", "topic": "audit", "delivery": "at-least-once"}
    )
    assert settings.topics == ["audit"]


TOKENS = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://login.example/token",
    "oauth_client_id": "forwarder",
    "oauth_client_secret": Secret("hidden"),
}


def test_tokens_need_an_endpoint_and_what_to_say_there() -> None:
    settings = KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092", **TOKENS})
    assert "hidden" not in repr(settings)
    assert list(wrong_fields(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER")) == [
        "oauth_token_url",
        "oauth_client_id",
        "oauth_client_secret",
    ]
    assert list(wrong_fields(**TOKENS, sasl_username="alice")) == ["sasl_username"]
    assert list(wrong_fields(**LOGIN, oauth_scope="all")) == ["oauth_scope"]


@pytest.mark.parametrize(
    "url", ["http://login.example/token", "login.example", "https://a:b@login.example/", "ftp://x/"]
)
def test_a_token_endpoint_that_would_show_the_secret_is_refused(url: str) -> None:
    assert list(wrong_fields(**TOKENS | {"oauth_token_url": url})) == ["oauth_token_url"]
    KafkaSettings.model_validate(
        {"bootstrap_servers": "kafka:9092", **TOKENS, "oauth_token_url": "http://127.0.0.1:1/token"}
    )


def test_amazons_login_needs_its_signer_and_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forwarder.sinks.kafka.msk.installed", lambda: False)
    problems = wrong_fields(security_protocol="SASL_SSL", sasl_mechanism="AWS_MSK_IAM", aws_region="eu-west-1")
    assert "persona-siem-forwarder[msk]" in problems["sasl_mechanism"]
    monkeypatch.setattr("forwarder.sinks.kafka.msk.installed", lambda: True)
    assert list(wrong_fields(security_protocol="SASL_SSL", sasl_mechanism="AWS_MSK_IAM")) == ["aws_region"]
    assert list(wrong_fields(aws_region="eu-west-1")) == ["aws_region"]
    assert "sasl_mechanism" in wrong_fields(security_protocol="SASL_PLAINTEXT", sasl_mechanism="AWS_MSK_IAM")


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
    assert sink.promise == "effectively once for read_committed readers, for the life of one journal"
    assert sink.max_in_flight == 1
    plain = KafkaSink(settings.model_copy(update={"delivery": "at-least-once"}), SinkContext("kafka", "journal"))
    assert plain.promise == "stored"
    assert plain.max_in_flight == 5
    assert "hidden" not in repr(settings)


def test_without_its_library_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['aiokafka'] = None; from forwarder.sinks import sink_class; sink_class('kafka')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: a sink of kind kafka needs aiokafka" in done.stderr
    assert "pip install persona-siem-forwarder[kafka]" in done.stderr
