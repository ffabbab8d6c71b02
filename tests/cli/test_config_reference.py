"""The committed reference is the one that the code gives."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from forwarder.cli import app
from forwarder.settings.reference import reference_text
from forwarder.sinks import sink_class, sink_kinds

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def own_kinds() -> list[str]:
    """Kinds of this package, whatever other packages are installed beside it."""
    return [kind for kind in sink_kinds() if sink_class(kind).__module__.startswith("forwarder.")]


def test_the_document_is_what_the_command_prints() -> None:
    """On a difference: ``forwarder config --reference > docs/configuration.md``."""
    assert DOCUMENT.read_text(encoding="utf-8") == reference_text(own_kinds())


def test_the_command_needs_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER_SINKS", "nonsense")
    result = CliRunner().invoke(app, ["config", "--reference"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(reference_text(own_kinds()))


def test_every_variable_has_a_meaning_and_stands_in_one_row() -> None:
    rows = [line for line in reference_text(own_kinds()).splitlines() if line.startswith("| `FORWARDER_")]
    names = [row.split("`")[1] for row in rows]
    assert len(names) == len(set(names)) > 80
    for row in rows:
        _, name, default, meaning, _, _ = row.replace(r"\|", "").split("|")
        assert len(meaning.strip()) > 10, f"{name} has no description"
        assert default.strip(), f"{name} has no default"


@pytest.mark.parametrize(
    "row",
    [
        "| `FORWARDER_PERSONA_API_KEY` | required |",
        "| `FORWARDER_PERSONA_LOOKBACK` | `1h` |",
        "| `FORWARDER_PERSONA_START` | `all` |",
        "| `FORWARDER_STATE_DEDUPE_RETENTION` | `190d` |",
        "| `FORWARDER_STATE_MAX_BYTES` | `2GiB` |",
        "| `FORWARDER_LOG_FORMAT` | `json`; `console` on a terminal |",
        "| `FORWARDER_SINKS` | `stdout` |",
        "| `FORWARDER_REDACT` | none |",
        "| `FORWARDER_SPLUNK_HEC_TOKEN` | required |",
    ],
)
def test_defaults_are_written_as_an_operator_writes_them(row: str) -> None:
    assert row in reference_text(own_kinds())
