"""Secrets: given in two ways, shown in none."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from forwarder.errors import ConfigurationError
from forwarder.settings import load
from forwarder.settings.effective import effective_text
from forwarder.settings.reading import MASK, read
from forwarder.settings.sections import Section
from forwarder.sinks.base import SinkSettings

SECRET = "do-not-show-me-7f3a"
SINKS = {
    "FORWARDER_SINKS": "soc=splunk_hec,kafka",
    "FORWARDER_SOC_URL": "https://splunk.example:8088",
    "FORWARDER_KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
    "FORWARDER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "FORWARDER_KAFKA_SASL_USERNAME": "forwarder",
}
GIVEN = {
    "FORWARDER_PERSONA_API_KEY": f"{SECRET}-key",
    "FORWARDER_SOC_TOKEN": f"{SECRET}-token",
    "FORWARDER_KAFKA_SASL_PASSWORD": f"{SECRET}-password",
    "FORWARDER_PSEUDONYM_KEY": f"{SECRET}-pseudonyms",
}


def message_of(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(environ)
    return str(caught.value)


def test_no_secret_is_in_the_settings_text_or_in_the_effective_configuration() -> None:
    settings = load(SINKS | GIVEN)
    assert settings.sinks[0].settings.model_dump()["token"].reveal() == f"{SECRET}-token"
    for text in (repr(settings), str(settings), effective_text(settings), repr(settings.sinks[1].settings)):
        assert SECRET not in text
    for variable in GIVEN:
        assert f"{variable}={MASK}" in effective_text(settings)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([*SINKS, *GIVEN]), min_size=1, unique=True), st.sampled_from(["", "x", "1", "://"]))
def test_no_error_shows_a_secret_whatever_else_is_wrong(spoilt: list[str], junk: str) -> None:
    environ = SINKS | GIVEN | {"FORWARDER_STATE_MAX_BYTES": "0", "FORWARDER_NONE": SECRET}
    for variable in spoilt:
        environ[variable] = junk if variable in SINKS else ""
    assert SECRET not in message_of(environ)


@pytest.mark.parametrize("variable", ["FORWARDER_HTTP_PORT", "FORWARDER_SOC_URL", "FORWARDER_STATE_MAX_BYTES"])
def test_a_secret_in_the_wrong_variable_is_not_shown_either(variable: str) -> None:
    assert SECRET not in message_of(SINKS | GIVEN | {variable: f"{SECRET}-token"})


def test_a_secret_in_place_of_its_path_is_not_shown() -> None:
    environ = SINKS | GIVEN | {"FORWARDER_SOC_TOKEN_FILE": SECRET}
    del environ["FORWARDER_SOC_TOKEN"]
    text = message_of(environ)
    assert text == "FORWARDER_SOC_TOKEN_FILE: the file cannot be read: No such file or directory"


def test_a_secret_given_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from the file")
    text = message_of(SINKS | GIVEN | {"FORWARDER_SOC_TOKEN_FILE": str(path)})
    assert text == "FORWARDER_SOC_TOKEN: is given twice, here and as FORWARDER_SOC_TOKEN_FILE; take one away"


def test_the_mask_is_not_taken_for_a_secret() -> None:
    text = message_of(SINKS | GIVEN | {"FORWARDER_SOC_TOKEN": MASK})
    assert text.startswith("FORWARDER_SOC_TOKEN: is the mask")


def test_an_empty_secret_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch()
    environ = SINKS | GIVEN | {"FORWARDER_SOC_TOKEN_FILE": str(path)}
    del environ["FORWARDER_SOC_TOKEN"]
    assert message_of(environ) == "FORWARDER_SOC_TOKEN_FILE: the file is empty"


def test_a_rotated_file_reaches_the_settings_that_are_in_use(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    environ = SINKS | GIVEN | {"FORWARDER_SOC_TOKEN_FILE": str(path)}
    del environ["FORWARDER_SOC_TOKEN"]
    settings = load(environ)
    token = settings.sinks[0].settings.model_dump()["token"]
    assert token.reveal() == "first"
    (tmp_path / "fresh").write_text("second\n")
    (tmp_path / "fresh").rename(path)
    assert token.reveal() == "second"
    assert f"FORWARDER_SOC_TOKEN_FILE={path}" in effective_text(settings)


def test_a_line_break_at_the_end_of_a_variable_is_cut() -> None:
    settings = load(SINKS | GIVEN | {"FORWARDER_PERSONA_API_KEY": "key\n"})
    assert settings.sources[0].settings.api_key.reveal() == "key"


class Indiscreet(SinkSettings):
    """A foreign sink that tells what it was given."""

    password: str = ""

    def model_post_init(self, context: object) -> None:
        del context
        raise ValueError(f"NO_FIELD: wrong password: {self.password}")


def test_a_validator_that_quotes_a_secret_is_silenced() -> None:
    sections = {
        "foreign": Section("", "FORWARDER_FOREIGN_", Indiscreet),
        "soc": Section("", "FORWARDER_SOC_", load(SINKS | GIVEN).sinks[0].sink_class.settings_model),
    }
    _, (problem,) = read(sections, SINKS | GIVEN | {"FORWARDER_FOREIGN_PASSWORD": f"{SECRET}-token"})
    assert problem.variable == "FORWARDER_FOREIGN_*"
    assert problem.message == f"NO_FIELD: wrong password: {MASK}"


def test_a_secret_that_cannot_be_read_is_one_problem_and_not_also_a_bad_secret(tmp_path: Path) -> None:
    environ = SINKS | GIVEN | {"FORWARDER_PSEUDONYM_KEY_FILE": str(tmp_path / "none")}
    del environ["FORWARDER_PSEUDONYM_KEY"]
    text = message_of(environ)
    assert text == "FORWARDER_PSEUDONYM_KEY_FILE: the file cannot be read: No such file or directory"
