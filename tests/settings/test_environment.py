"""The environment and an env file make one configuration, or an error."""

from pathlib import Path

import pytest

from forwarder.errors import ConfigurationError
from forwarder.settings import read_environment


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDER_SINKS", "file")
    monkeypatch.setenv("OTHER", "thing")


def problems(env_file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_environment(env_file)
    return [str(problem) for problem in caught.value.problems]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "some.env"
    path.write_text(text)
    return path


def test_only_our_variables_are_taken() -> None:
    taken = read_environment()
    assert taken["FORWARDER_SINKS"] == "file"
    assert all(name.startswith("FORWARDER_") for name in taken)


def test_an_env_file_adds_to_the_environment_and_may_repeat_it(tmp_path: Path) -> None:
    text = "# comment\n\nexport FORWARDER_HTTP_PORT=0\nFORWARDER_SINKS='file'\nFORWARDER_REDACT=\"a b\" # why\n"
    taken = read_environment(write(tmp_path, text))
    assert taken["FORWARDER_HTTP_PORT"] == "0"
    assert taken["FORWARDER_REDACT"] == "a b"
    assert taken["FORWARDER_SINKS"] == "file"


def test_values_are_taken_literally(tmp_path: Path) -> None:
    assert read_environment(write(tmp_path, "FORWARDER_X=${OTHER}\n"))["FORWARDER_X"] == "${OTHER}"


def test_a_file_that_disagrees_is_an_error_that_shows_no_value(tmp_path: Path) -> None:
    text = "FORWARDER_SINKS=stdout\nFORWARDER_A=one\nFORWARDER_A=two\n"
    assert problems(write(tmp_path, text)) == [
        "FORWARDER_A: line 3 of --env-file and an earlier line give it different values",
        "FORWARDER_SINKS: line 1 of --env-file and the environment give it different values",
    ]


def test_what_the_file_cannot_mean_is_an_error(tmp_path: Path) -> None:
    """A proxy in the file would do nothing, for the HTTP client reads the real environment."""
    text = "HTTPS_PROXY=http://x\nFORWARDER_A\n'not a line\n"
    found = problems(write(tmp_path, text))
    assert len(found) == 3
    assert found[0] == "--env-file: line 3 is not NAME=value"
    assert found[1].startswith("FORWARDER_A: line 2")
    assert found[2].startswith("HTTPS_PROXY: line 1")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert problems(tmp_path / "missing.env") == ["--env-file: cannot be read: No such file or directory"]
    path = tmp_path / "binary.env"
    path.write_bytes(b"\xff")
    assert problems(path) == ["--env-file: cannot be read: it is not UTF-8"]
