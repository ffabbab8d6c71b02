import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from forwarder.metrics import SINK_STATES, Metrics
from tests import catalogue
from tests.peers.promtool import promtool

CONTRACT = {
    "forwarder_events_collected_total": ("source",),
    "forwarder_events_duplicate_total": ("source",),
    "forwarder_source_requests_total": ("source", "status"),
    "forwarder_source_rate_limit_remaining": ("source",),
    "forwarder_source_gaps": ("source",),
    "forwarder_source_last_success_timestamp_seconds": ("source",),
    "forwarder_source_complete_until_timestamp_seconds": ("source",),
    "forwarder_source_lost_gaps_total": ("source",),
    "forwarder_records_without_id_total": ("source",),
    "forwarder_events_delivered_total": ("sink",),
    "forwarder_events_filtered_total": ("sink",),
    "forwarder_events_dead_lettered_total": ("sink",),
    "forwarder_sink_backlog_events": ("sink",),
    "forwarder_sink_lag_seconds": ("sink",),
    "forwarder_sink_state": ("sink", "state"),
    "forwarder_sink_owed_events": ("sink",),
    "forwarder_dead_letters": ("sink",),
    "forwarder_sink_possible_duplicates_total": ("sink", "reason"),
    "forwarder_sink_retries_total": ("sink", "reason"),
    "forwarder_sink_send_seconds": ("sink",),
    "forwarder_delivery_latency_seconds": ("sink",),
    "forwarder_state_bytes": ("part",),
    "forwarder_build_info": ("version",),
}
"""The operator's contract: names and labels that dashboards are written against."""


def touched() -> Metrics:
    """Metrics with a value in every series, and label values that need escaping."""
    metrics = Metrics("1.2.3")
    metrics.announce(sources=["persona"], sinks=["soc"])
    for state in SINK_STATES:
        metrics.sink_state.labels("soc", state).set(state == "ready")
    metrics.source_requests.labels("persona", "200").inc()
    metrics.source_rate_limit_remaining.labels("persona").set(299)
    metrics.sink_retries.labels('a "quoted"\\ and\nbroken name', "timeout").inc(2)
    metrics.sink_possible_duplicates.labels("soc", "timeout").inc()
    metrics.sink_send_seconds.labels("soc").observe(0.2)
    metrics.delivery_latency.labels("soc").observe(1e9)
    metrics.sink_lag_seconds.labels("soc").set(float("inf"))
    metrics.state_bytes.labels("wal").set(4096)
    return metrics


def test_every_metric_of_the_contract_is_there_with_its_labels() -> None:
    described = {metric.name: metric.labels for metric in Metrics("0").described}
    assert {name: described.get(name) for name in CONTRACT} == CONTRACT


def test_another_parser_reads_back_what_was_counted() -> None:
    families = list(text_string_to_metric_families(touched().expose().decode()))
    samples = {(sample.name, *sorted(sample.labels.items())): sample.value for f in families for sample in f.samples}
    assert samples["forwarder_sink_state", ("sink", "soc"), ("state", "ready")] == 1
    assert samples["forwarder_sink_state", ("sink", "soc"), ("state", "stopped")] == 0
    name = 'a "quoted"\\ and\nbroken name'
    assert samples["forwarder_sink_retries_total", ("reason", "timeout"), ("sink", name)] == 2
    assert samples["forwarder_sink_send_seconds_bucket", ("le", "0.25"), ("sink", "soc")] == 1
    assert samples["forwarder_sink_send_seconds_bucket", ("le", "0.1"), ("sink", "soc")] == 0
    assert samples["forwarder_delivery_latency_seconds_count", ("sink", "soc")] == 1


def test_described_is_what_is_exposed() -> None:
    metrics = Metrics("0")
    families = {
        (family.name, family.type, family.documentation)
        for family in text_string_to_metric_families(metrics.expose().decode())
        if family.name.startswith("forwarder_")
    }
    assert families == {
        (metric.name.removesuffix("_total"), metric.kind, metric.documentation) for metric in metrics.described
    }


def test_counters_of_announced_sources_and_sinks_begin_at_zero() -> None:
    metrics = Metrics("0")
    assert b'forwarder_events_delivered_total{sink="soc"}' not in metrics.expose()
    metrics.announce(sources=["persona"], sinks=["soc"])
    text = metrics.expose().decode()
    assert 'forwarder_events_delivered_total{sink="soc"} 0.0\n' in text
    assert 'forwarder_events_collected_total{source="persona"} 0.0\n' in text
    assert 'forwarder_sink_send_seconds_count{sink="soc"} 0.0\n' in text
    assert 'sink="persona"' not in text
    assert "forwarder_sink_lag_seconds{" not in text


def test_no_series_of_creation_times_stands_beside_the_counters() -> None:
    assert b"_created" not in touched().expose()


def test_two_daemons_in_one_process_share_nothing() -> None:
    one, two = Metrics("1"), Metrics("2")
    one.events_delivered.labels("soc").inc()
    assert b'forwarder_events_delivered_total{sink="soc"}' not in two.expose()


def test_the_page_of_metrics_is_current() -> None:
    """If this fails: ``python -m tests.catalogue --write``."""
    assert catalogue.METRICS_PAGE.read_text(encoding="utf-8") == catalogue.metrics_page()


@pytest.mark.peer
def test_promtool_finds_nothing_to_object_to(tmp_path: Path) -> None:
    text = touched().expose()
    (tmp_path / "metrics.txt").write_bytes(text)  # kept beside a failure
    checked = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout.decode() + checked.stderr.decode()) == (0, "")
