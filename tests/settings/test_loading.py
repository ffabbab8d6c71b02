"""The whole configuration: what is read, and what is refused, all at once."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from forwarder.errors import ConfigurationError
from forwarder.formats import PLANNED
from forwarder.secret import Secret
from forwarder.settings import Settings, load

KEY = {"FORWARDER_PERSONA_API_KEY": "persona_production_0123456789"}
SPLUNK = {"FORWARDER_SOC_URL": "https://splunk.example:8088", "FORWARDER_SOC_TOKEN": "a-token-of-splunk"}


def problems(environ: Mapping[str, str]) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load(environ)
    assert caught.value.exit_status == 78
    return {problem.variable: problem.message for problem in caught.value.problems}


def changed(**variables: str) -> Settings:
    return load({**KEY, **{f"FORWARDER_{name}": text for name, text in variables.items()}})


def test_a_key_is_enough() -> None:
    settings = load(KEY)
    (source,), (sink,) = settings.sources, settings.sinks
    assert (source.name, source.kind, sink.name, sink.kind) == ("persona", "persona", "stdout", "stdout")
    assert source.settings.api_key.reveal() == KEY["FORWARDER_PERSONA_API_KEY"]
    assert settings.state.path == Path("forwarder.db")
    assert settings.state.max_bytes == 2 << 30
    assert settings.state.dedupe_retention == 190 * 86_400
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert (settings.log.level, settings.log.format) == ("info", "json")
    assert settings.shutdown_grace == 25
    assert (settings.redact, settings.pseudonymize, settings.pseudonym_key) == ((), (), None)


def test_the_log_is_for_people_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert load(KEY).log.format == "console"
    assert changed(LOG_FORMAT="json").log.format == "json"


def test_two_of_a_kind_are_two_names() -> None:
    settings = load(
        {
            "FORWARDER_SOURCES": "eu=persona, us=persona",
            "FORWARDER_EU_API_KEY": "key-of-eu",
            "FORWARDER_US_API_KEY": "key-of-us",
            "FORWARDER_SINKS": "soc=splunk_hec,dr-site=splunk_hec",
            **SPLUNK,
            "FORWARDER_DR_SITE_URL": "http://127.0.0.1:8088",
            "FORWARDER_DR_SITE_TOKEN": "another-token",
        }
    )
    assert [source.settings.api_key.reveal() for source in settings.sources] == ["key-of-eu", "key-of-us"]
    assert [(sink.name, sink.kind) for sink in settings.sinks] == [("soc", "splunk_hec"), ("dr-site", "splunk_hec")]
    assert all(type(sink.settings) is sink.sink_class.settings_model for sink in settings.sinks)


def test_units_lists_and_switches_are_read_as_operators_write_them() -> None:
    settings = changed(
        STATE_MAX_BYTES="64MiB",
        STATE_DEDUPE_RETENTION="200d",
        SHUTDOWN_GRACE="1m",
        REDACT=" ssn , !defaults,",
        STDOUT_INCLUDE="GET /api/*, */cases",
        STDOUT_START="all",
    )
    assert settings.state.max_bytes == 64 << 20
    assert settings.state.dedupe_retention == 200 * 86_400
    assert settings.shutdown_grace == 60
    assert settings.redact == ("ssn", "!defaults")
    assert settings.sinks[0].settings.include == ["GET /api/*", "*/cases"]
    assert settings.sinks[0].settings.start == "all"


def test_every_problem_is_reported_at_once_by_its_variable() -> None:
    found = problems(
        {
            "FORWARDER_SINKS": "soc=splunk_hec,what=ever",
            "FORWARDER_SOC_URL": "splunk",
            "FORWARDER_WHAT_URL": "left out, for nobody knows what this kind reads",
            "FORWARDER_STATE_DEDUPE_RETENTION": "30d",
            "FORWARDER_HTTP_PORT": "70000",
            "FORWARDER_SHUTDOWN_GRACE": "soon",
            "FORWARDER_LOG_LEVEL": "loud",
            "FORWARDER_REDACT": "a..b",
            "FORWARDER_PERSONA_PAGE_SIZE": "101",
            "FORWARDER_PERSONA_RATE_SHARE": "0",
            "FORWARDER_PERSONA_BASE_URL": "http://persona.example",
            "FORWARDER_PERSONA_LOOKBACK": "5m",
            "FORWARDER_PERSONA_SWEEP_INTERVAL": "5m",
            "FORWARDER_PERSONA_START": "yesterday",
            "FORWARDER_PERSONA_POLL": "1m",
        }
    )
    assert set(found) == {
        "FORWARDER_SINKS",
        "FORWARDER_SOC_URL",
        "FORWARDER_SOC_TOKEN",
        "FORWARDER_STATE_DEDUPE_RETENTION",
        "FORWARDER_HTTP_PORT",
        "FORWARDER_SHUTDOWN_GRACE",
        "FORWARDER_LOG_LEVEL",
        "FORWARDER_REDACT",
        "FORWARDER_PERSONA_API_KEY",
        "FORWARDER_PERSONA_PAGE_SIZE",
        "FORWARDER_PERSONA_RATE_SHARE",
        "FORWARDER_PERSONA_BASE_URL",
        "FORWARDER_PERSONA_SWEEP_INTERVAL",
        "FORWARDER_PERSONA_START",
        "FORWARDER_PERSONA_POLL",
    }
    assert "FORWARDER_PERSONA_API_KEY_FILE" in found["FORWARDER_PERSONA_API_KEY"]
    assert "not a duration" in found["FORWARDER_SHUTDOWN_GRACE"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("FORWARDER_PERSONA_APIKEY", "FORWARDER_PERSONA_API_KEY"),
        ("FORWARDER_SINK", "FORWARDER_SINKS"),
        ("FORWARDER_STDOUT_EXLUDE", "FORWARDER_STDOUT_EXCLUDE"),
        ("FORWARDER_PERSONA_API_KEYFILE", "FORWARDER_PERSONA_API_KEY_FILE"),
        ("FORWARDER_Sinks", "FORWARDER_SINKS"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(wrong: str, right: str) -> None:
    found = problems({**KEY, wrong: "x"})
    assert set(found) == {wrong}
    assert right in found[wrong]


def test_settings_of_a_sink_that_is_not_configured_are_unknown() -> None:
    found = problems({**KEY, **SPLUNK})
    assert set(found) == set(SPLUNK)
    assert "only while its name is in FORWARDER_SOURCES or FORWARDER_SINKS" in found["FORWARDER_SOC_URL"]


def test_what_kubernetes_injects_is_ignored_even_under_the_name_of_a_setting() -> None:
    settings = changed(
        SERVICE_HOST="10.0.0.7",
        SERVICE_PORT="8080",
        SERVICE_PORT_HTTP="8080",
        PORT="tcp://10.0.0.7:8080",
        PORT_8080_TCP="tcp://10.0.0.7:8080",
        PORT_8080_TCP_ADDR="10.0.0.7",
        PORT_8080_TCP_PORT="8080",
        PORT_8080_TCP_PROTO="tcp",
        HTTP_PORT="tcp://10.0.0.7:8080",
        HTTP_SERVICE_HOST="10.0.0.7",
    )
    assert settings.http.port == 8080


def test_an_empty_variable_counts_as_not_given() -> None:
    settings = changed(SINKS="", HTTP_PORT=" ", PSEUDONYM_KEY="", PSEUDONYM_KEY_FILE="", STDOUT_EXCLUDE="")
    assert [sink.name for sink in settings.sinks] == ["stdout"]
    assert settings.http.port == 8080
    assert settings.pseudonym_key is None


def test_a_list_of_nothing_names_nothing() -> None:
    assert problems({**KEY, "FORWARDER_SINKS": ","}) == {"FORWARDER_SINKS": "names nothing"}


def test_names_that_meet_are_refused_over_both_lists() -> None:
    found = problems({**KEY, "FORWARDER_SINKS": "persona=stdout"})
    assert "'persona' and 'persona'" in found["FORWARDER_SINKS"]


@pytest.mark.parametrize("form", sorted(PLANNED))
def test_a_format_that_is_planned_is_refused_as_not_there_yet(form: str) -> None:
    found = problems({**KEY, "FORWARDER_STDOUT_FORMAT": form})
    have = "cef, json, leef, leef1, raw"
    assert found == {"FORWARDER_STDOUT_FORMAT": f"this version does not have the format {form} yet, but {have}"}


@pytest.mark.parametrize("start", ["7d", "2026-01-01T00:00:00Z", "NOW", "everything"])
def test_a_sink_starts_now_or_with_everything(start: str) -> None:
    assert set(problems({**KEY, "FORWARDER_STDOUT_START": start})) == {"FORWARDER_STDOUT_START"}


def test_filters_are_checked_before_anything_is_opened() -> None:
    found = problems({**KEY, "FORWARDER_STDOUT_INCLUDE": "FETCH /a", "FORWARDER_STDOUT_EXCLUDE": "GET"})
    assert set(found) == {"FORWARDER_STDOUT_INCLUDE", "FORWARDER_STDOUT_EXCLUDE"}


def test_pseudonyms_need_a_key_of_some_length() -> None:
    assert set(problems({**KEY, "FORWARDER_PSEUDONYMIZE": "user.email"})) == {"FORWARDER_PSEUDONYM_KEY"}
    found = problems({**KEY, "FORWARDER_PSEUDONYMIZE": "user.email", "FORWARDER_PSEUDONYM_KEY": "short"})
    assert set(found) == {"FORWARDER_PSEUDONYM_KEY"}
    settings = changed(PSEUDONYMIZE="user.email", PSEUDONYM_KEY="0123456789abcdef")
    assert isinstance(settings.pseudonym_key, Secret)


def test_a_problem_of_two_settings_bears_the_name_of_one() -> None:
    without = {"FORWARDER_SOC_ACK": "off", "FORWARDER_SOC_ACK_TIMEOUT": "1m"}
    found = problems({**KEY, "FORWARDER_SINKS": "soc=splunk_hec", **SPLUNK, **without})
    assert set(found) == {"FORWARDER_SOC_ACK_TIMEOUT"}


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("https://eu.withpersona.com/api/v1", True),
        ("http://127.0.0.1:9/api/v1", True),
        ("http://[::1]:9/api/v1", True),
        ("http://localhost", True),
        ("http://localhost.example", False),
        ("http://10.0.0.1", False),
        ("ftp://127.0.0.1", False),
    ],
)
def test_the_key_travels_encrypted_or_stays_on_the_machine(text: str, accepted: bool) -> None:
    if accepted:
        assert changed(PERSONA_BASE_URL=text).sources[0].settings.base_url == text
    else:
        assert set(problems({**KEY, "FORWARDER_PERSONA_BASE_URL": text})) == {"FORWARDER_PERSONA_BASE_URL"}


@pytest.mark.parametrize("text", ["all", "now", "30d", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00+02:00"])
def test_a_source_starts_at_a_word_a_duration_or_a_time(text: str) -> None:
    assert str(changed(PERSONA_START=text).sources[0].settings.start) == text


def test_a_sink_whose_library_is_missing_is_a_problem_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "forwarder.sinks.stdout", None)
    assert "cannot be loaded" in problems(KEY)["FORWARDER_SINKS"]


def test_no_two_write_to_one_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    found = problems(
        {
            **KEY,
            "FORWARDER_STATE_PATH": str(tmp_path / "x"),
            "FORWARDER_SINKS": "a=file,b=file,c=file",
            "FORWARDER_A_PATH": str(tmp_path / "a"),
            "FORWARDER_B_PATH": str(tmp_path / "link" / "a"),
            "FORWARDER_C_PATH": str(tmp_path / "x"),
        }
    )
    assert found == {
        "FORWARDER_B_PATH": "is the same file as FORWARDER_A_PATH; give each its own",
        "FORWARDER_C_PATH": "is the same file as FORWARDER_STATE_PATH; give each its own",
    }
