"""``forwarder check`` and what every command shares: exit statuses, plain messages, no secrets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

import forwarder.cli
from forwarder import __version__
from forwarder.cli import app, main
from forwarder.errors import JournalLocked

KEY = "persona_production_0123456789"


def forwarder_process(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("FORWARDER_")}
    command = [sys.executable, "-m", "forwarder", *arguments]
    return subprocess.run(command, env=clean | environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unconfigured_log() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_a_right_configuration_is_shown_as_plain_columns() -> None:
    result = forwarder_process("check", FORWARDER_PERSONA_API_KEY=KEY)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["configuration", "is", "valid"]
    assert lines[1] == ["SOURCE", "KIND", "ASKS", "FROM"]
    assert lines[2] == ["persona", "persona", "https://api.withpersona.com/api/v1", "all"]
    assert lines[3] == ["SINK", "KIND", "FORMAT", "DESTINATION", "PROMISE"]
    assert lines[4][:3] == ["stdout", "stdout", "json"]


def test_each_problem_is_a_line_and_the_status_is_78() -> None:
    result = forwarder_process("check", FORWARDER_SINKS="stdout,what", FORWARDER_HTTP_PORT="x", FORWARDER_KEY=KEY)
    assert result.returncode == 78
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "FORWARDER_HTTP_PORT",
        "FORWARDER_KEY",
        "FORWARDER_PERSONA_API_KEY",
        "FORWARDER_SINKS",
    ]
    assert KEY not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["check", "--no-such"], ["no-such"], ["--env-file", "/no/such.env", "check"], []],
    ids=["option", "command", "file", "nothing"],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert forwarder_process(*arguments).returncode == 2


def test_the_version_is_printed_without_loading_what_is_heavy() -> None:
    probe = (
        "import sys; sys.argv = ['forwarder', '--version']\n"
        "from forwarder.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'pydantic', 'aiohttp', 'asyncio', 'orjson', 'structlog', 'sqlite3', 'rich'} & set(sys.modules)\n"
        "print(status, sorted(heavy))\n"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == f"forwarder {__version__}\n0 []\n"


def test_every_command_explains_itself() -> None:
    overview = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    assert overview.exit_code == 0
    for name in ("run", "check", "config", "status", "dead-letters", "simulate"):
        assert f" {name} " in overview.output
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0
        assert "Usage: " in result.output


def test_completion_is_offered() -> None:
    environ = {"_FORWARDER_COMPLETE": "complete_bash", "COMP_WORDS": "forwarder che", "COMP_CWORD": "1"}
    assert forwarder_process(**environ).stdout.split() == ["check"]


def failing(error: Exception) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


def ended_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> object:
    monkeypatch.setattr(sys, "argv", ["forwarder", "config"])
    monkeypatch.setattr(forwarder.cli.config, "settings_of", failing(error))
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_an_error_of_ours_ends_with_its_status_and_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_with(monkeypatch, JournalLocked("another process owns it")) == 75
    assert capsys.readouterr().err == "forwarder: another process owns it\n"


@pytest.mark.usefixtures("unconfigured_log")
def test_anything_unforeseen_ends_with_70_and_a_traceback_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended_with(monkeypatch, ZeroDivisionError("a fault")) == 70
    printed = capsys.readouterr()
    assert printed.out == ""
    assert '"event":"process.failed"' in printed.err
    assert "ZeroDivisionError: a fault" in printed.err


def test_a_secret_file_is_named_by_its_variable(tmp_path: Path) -> None:
    result = forwarder_process("check", FORWARDER_PERSONA_API_KEY_FILE=str(tmp_path / "key"))
    assert result.returncode == 78
    assert result.stderr == "FORWARDER_PERSONA_API_KEY_FILE: the file cannot be read: No such file or directory\n"
