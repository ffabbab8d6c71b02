"""``forwarder config``: what is in force, as an env file that means the same."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pytest
from dotenv.parser import parse_stream
from typer.testing import CliRunner

from forwarder.cli import app
from forwarder.settings import Settings, load
from forwarder.settings.effective import effective_text

GIVEN = {
    "FORWARDER_PERSONA_API_KEY": "persona_production_0123456789",
    "FORWARDER_PERSONA_START": "30d",
    "FORWARDER_PERSONA_POLL_INTERVAL": "90",
    "FORWARDER_SINKS": "soc=splunk_hec,stdout",
    "FORWARDER_SOC_URL": "https://splunk.example:8088",
    "FORWARDER_SOC_TOKEN": "a-token-of-splunk",
    "FORWARDER_SOC_GZIP": "off",
    "FORWARDER_SOC_EXCLUDE": "GET|HEAD /api/it's/*, */health",
    "FORWARDER_SOC_BATCH_MAX_BYTES": "524288",
    "FORWARDER_STATE_MAX_BYTES": "1073741824",
    "FORWARDER_REDACT": "ssn,!defaults",
    "FORWARDER_LOG_FORMAT": "console",
}


def assignments(text: str) -> dict[str, str]:
    bindings = [binding for binding in parse_stream(StringIO(text)) if not binding.error and binding.key]
    return {str(binding.key): str(binding.value) for binding in bindings}


def without_secrets(settings: Settings) -> list[tuple[str, object]]:
    return [
        (loaded.section.prefix, loaded.model.model_dump(exclude={"api_key", "token", "pseudonym_key"}))
        for loaded in settings.sections
    ]


@pytest.mark.parametrize("environ", [GIVEN, {"FORWARDER_PERSONA_API_KEY": "key"}])
def test_the_effective_configuration_means_the_same_when_read_again(environ: Mapping[str, str]) -> None:
    secrets = {name: text for name, text in environ.items() if name.endswith(("_KEY", "_TOKEN"))}
    settings = load(environ)
    again = load(assignments(effective_text(settings)) | secrets)
    assert without_secrets(again) == without_secrets(settings)


def test_with_its_defaults_taken_out_of_their_comments_it_still_means_the_same() -> None:
    settings = load(GIVEN)
    lines = effective_text(settings).splitlines()
    bare = "\n".join(line.removeprefix("# ") if line.startswith("# FORWARDER_") else line for line in lines)
    secrets = {name: text for name, text in GIVEN.items() if name.endswith(("_KEY", "_TOKEN"))}
    # Given and left out are not the same to a setting that this version refuses to be given.
    refused = {"FORWARDER_SOC_ACK_TIMEOUT"}
    again = load({name: text for name, text in assignments(bare).items() if name not in refused} | secrets)
    assert without_secrets(again) == without_secrets(settings)


def test_only_what_was_given_is_outside_of_a_comment() -> None:
    text = effective_text(load(GIVEN))
    assert set(assignments(text)) == set(GIVEN)
    assert "FORWARDER_PERSONA_POLL_INTERVAL=90s\n" in text
    assert "# FORWARDER_PERSONA_TIMEOUT=30s\n" in text
    assert "# FORWARDER_HTTP_PORT=8080\n" in text


def test_the_command_reads_the_environment_and_masks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file = tmp_path / "some.env"
    env_file.write_text("FORWARDER_HTTP_PORT=0\n")
    monkeypatch.setenv("FORWARDER_PERSONA_API_KEY", GIVEN["FORWARDER_PERSONA_API_KEY"])
    result = CliRunner().invoke(app, ["--env-file", str(env_file), "config"])
    assert result.exit_code == 0, result.output
    assert "FORWARDER_HTTP_PORT=0\n" in result.stdout
    assert "FORWARDER_PERSONA_API_KEY=********\n" in result.stdout
    assert GIVEN["FORWARDER_PERSONA_API_KEY"] not in result.output


def test_a_password_in_a_url_of_a_foreign_sink_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forwarder.settings.effective.written", lambda *_: "amqp://me:hunter2@h,amqp://me:x/y@i")
    text = effective_text(load(GIVEN))
    assert "hunter2" not in text
    assert "amqp://me:********@h,amqp://me:********@i" in text
